-- The queues of the pipeline demo, and the function with which split-text inserts a job for each part
-- before the job that combines the results.

-- measure-text gets enough attempts, because it often answers 429.
insert into supaqueue.queue (edge_function_name, max_attempts, backoff_base_ms)
values ('split-text', 3, 250), ('measure-text', 20, 250), ('combine-measures', 3, 250);

-- Jobs run at least once, so a job that splits its text again must not add the parts again.
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
      -- Starts when the split is reported as successful.
      'depends_on', jsonb_build_array(job),
      'required_by', jsonb_build_array(combining),
      'pass_results', true)
    order by part.number))
  from jsonb_array_elements(parts) with ordinality as part (value, number);
end
$$;

revoke all on function public.add_parts from public, anon, authenticated;
grant execute on function public.add_parts to service_role;
