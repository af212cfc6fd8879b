-- Moves jobs of a queue whose time has come (after _since) from held_job to ready_job, the ones
-- due first, at most _limit. Returns how many. A job that is locked just now stays for the next time.
create or replace function supaqueue.admit_jobs(_queue uuid, _since timestamptz, _limit integer)
returns integer
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  at timestamptz := clock_timestamp();
  due uuid[];
  jobs uuid[];
begin
  due := array(
    select h.job from supaqueue.held_job h
    where h.queue = _queue and h.until > _since and h.until <= at
    order by h.until
    limit _limit
  );
  if due = '{}' then
    return 0;
  end if;
  jobs := array(
    select j.id from supaqueue.job j where j.id = any (due) for no key update skip locked
  );
  -- Deleted jobs, too, whose row was left behind by a deletion without triggers.
  delete from supaqueue.held_job h
  where h.job = any (jobs) or h.job = any (due) and not exists (select from supaqueue.job j where j.id = h.job);
  insert into supaqueue.ready_job (queue, priority, run_at, position, job)
  select j.queue, j.priority, j.run_at, j.position, j.id
  from supaqueue.job j
  where j.id = any (jobs) and j.status = 'pending'
  on conflict do nothing;
  return cardinality(due);
end
$$;
