-- What the pipeline demo adds to a project: its queues, and the function with
-- which the splitting job puts a job for each part before the combining job.

-- measure-text answers 429 to whoever comes too often: no reason to give up soon.
insert into supaqueue.queue (edge_function_name, max_attempts, backoff_base_ms)
values ('split-text', 3, 250), ('measure-text', 20, 250), ('combine-measures', 3, 250);

-- Jobs run at least once: a job that splits a second time adds no second parts.
create function public.add_parts(job uuid, parts jsonb)
returns void
language plpgsql
set search_path = ''
as $$
declare
  combining uuid := (select d.target from supaqueue.job_dependencies d where d.source = add_parts.job);
begin
  if exists (
    select from supaqueue.job_dependencies d where d.target = combining and d.source <> add_parts.job
  ) then
    return;
  end if;
  perform supaqueue.enqueue_pipeline(jsonb_agg(
    jsonb_build_object(
      'name', part.number::text,
      'queue', 'measure-text',
      'payload', part.value,
      -- Not before the splitting job is known to have succeeded.
      'depends_on', jsonb_build_array(job),
      'required_by', jsonb_build_array(combining),
      'pass_results', true)
    order by part.number))
  from jsonb_array_elements(parts) with ordinality as part (value, number);
end
$$;

revoke all on function public.add_parts from public, anon, authenticated;
grant execute on function public.add_parts to service_role;
