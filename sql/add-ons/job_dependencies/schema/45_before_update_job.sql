-- Adds the results of its sources to a job that is released, for dependencies with pass_result: its
-- payload gets the key "sources", a list with one entry per source, in the order in which the
-- sources were inserted:
--   {"job": id, "queue": name, "status": text, "result": JSON or null}
--
-- If the payload cannot hold them, the job is cancelled with the reason. An error would instead
-- make the report fail that releases the job.
create or replace function supaqueue.add_results_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  sources jsonb;
  payload jsonb;
  problem text;
begin
  if not exists (select from supaqueue.job_dependencies e where e.target = new.id and e.pass_result) then
    return new;
  end if;

  if jsonb_typeof(new.payload) <> 'object' then
    problem := 'its payload is not an object';
  elsif exists (
    -- Measured first, and only until it is too much: together they may be more than Postgres can hold.
    select
    from (
      select sum(90 + coalesce(octet_length(s.result::text), 4)) over (rows unbounded preceding) as bytes
      from supaqueue.job_dependencies e
      cross join lateral (select t.result from supaqueue.job t where t.id = e.source offset 0) s
      where e.target = new.id and e.pass_result
    ) m
    where m.bytes > 5000000
  ) then
    problem := 'its payload would exceed 5 MB';
  else
    select jsonb_agg(
      jsonb_build_object('job', s.id, 'queue', q.name, 'status', s.status, 'result', s.result)
      order by s.position)
    into sources
    from supaqueue.job_dependencies e
    cross join lateral (select t.* from supaqueue.job t where t.id = e.source offset 0) s
    join supaqueue.queue q on q.id = s.queue
    where e.target = new.id and e.pass_result;
    payload := new.payload || jsonb_build_object('sources', coalesce(sources, '[]'));
    if octet_length(payload::text) > 5000000 then
      problem := 'its payload would exceed 5 MB';
    end if;
  end if;
  if problem is null then
    new.payload := payload;
    return new;
  end if;

  new.status := 'cancelled';
  new.errors := supaqueue.add_error(
    new.errors, new.attempts, 'cancelled: cannot add the results of its sources: ' || problem);
  -- Retrying a source restores it.
  update supaqueue.dependent_job d set is_cancelled_for_source = true where d.id = new.id;
  return new;
end
$$;

-- Triggers fire in the order of their names: this one before the core's before_update_job_tg, which
-- must see the status set here.
create or replace trigger add_results_tg
before update on supaqueue.job
for each row when (new.status = 'pending' and old.status not in ('pending', 'in_progress'))
execute function supaqueue.add_results_tg_fn();
