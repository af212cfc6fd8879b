-- Locks and returns the jobs of a queue that are next: due, by priority, time
-- due and insertion order, at most _limit of them.
--
-- "Due" is compared with the clock: now() is the start of the transaction, and a
-- job committed by one that began later would not be due yet.
--
-- "skip locked" can wait all the same: a row whose new version was committed just
-- now is followed to that version, and whoever has that one locked already is
-- waited for (heap_lock_updated_tuple in Postgres). That may be a report which waits
-- for the lock of the queue that our caller holds. So we give up (55P03) long before
-- Postgres looks for a deadlock: the report then finds the job that we leave.
create or replace function supaqueue.due_jobs(_queue uuid, _limit integer)
returns uuid[]
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  at timestamptz := clock_timestamp();
  next record;
  jobs uuid[] := array(
    -- From the front on, unless a job of an earlier priority is due.
    select j.id
    from supaqueue.queue_front f
    cross join lateral (
      select n.id
      from supaqueue.job n
      where n.queue = _queue and n.status = 'pending' and n.priority = f.priority
        and n.run_at <= at and (n.run_at, n.position) >= (f.run_at, f.position)
      order by n.run_at, n.position
      limit _limit
      for no key update skip locked
    ) j
    where f.queue = _queue and (
      (
        select b.id from supaqueue.job b
        where b.queue = _queue and b.status = 'pending' and b.priority < f.priority
        limit 1
      ) is null
      or not supaqueue.has_due_job_before(_queue, f.priority, at)
    )
  );
begin
  if cardinality(jobs) >= _limit then
    if random() < 0.01 then
      perform supaqueue.set_queue_front(jobs[1]);
    end if;
    return jobs;
  end if;

  -- Else from the beginning.
  jobs := '{}';
  next := supaqueue.next_priority(_queue, -2147483649);
  while next.priority is not null loop
    jobs := jobs || array(
      select j.id
      from supaqueue.job j
      where j.queue = _queue and j.status = 'pending' and j.priority = next.priority and j.run_at <= at
      order by j.run_at, j.position
      limit _limit - cardinality(jobs)
      for no key update skip locked
    );
    exit when cardinality(jobs) >= _limit;
    next := supaqueue.next_priority(_queue, next.priority);
  end loop;
  if jobs <> '{}' then
    perform supaqueue.set_queue_front(jobs[1]);
  end if;
  return jobs;
end
$$;
