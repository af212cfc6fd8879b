-- Where the search for a queue's next job begins: at its priority, jobs before
-- run_at and position were taken already. A hint, and only that.
--
-- What was taken stays in the index until vacuum may remove it, and a
-- transaction left open for minutes forbids that: without the hint, each search
-- would walk over all that was taken since. A hint too far ahead delays a job, so
-- it is dropped when something older is committed (see dispatch), by each tick,
-- and left aside whenever a search that uses it finds too little.
create table if not exists supaqueue.queue_front (
  queue uuid primary key,
  priority integer not null,
  run_at timestamptz not null,
  position bigint not null
) with (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
comment on table supaqueue.queue_front is 'A hint for Supaqueue: where the search for a queue''s next job begins';

-- Of version 1.
drop function if exists supaqueue.due_jobs(uuid, integer, boolean);
drop function if exists supaqueue.due_jobs_of_priority(uuid, integer, timestamptz, bigint, timestamptz, integer);

-- The next priority of a queue's pending jobs behind one, and when its first job is
-- due; nulls where there is none.
--
-- So a search goes from priority to priority, and a million jobs scheduled for
-- tomorrow at one of them cost the jobs of the next one nothing.
create or replace function supaqueue.next_priority(
  _queue uuid, behind bigint, out priority integer, out run_at timestamptz
)
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  select j.priority, j.run_at into priority, run_at
  from supaqueue.job j
  where j.queue = _queue and j.status = 'pending' and j.priority > behind
  order by j.priority, j.run_at, j.position
  limit 1;
end
$$;

-- Whether a job of a queue is due that goes before all those of a priority.
create or replace function supaqueue.has_due_job_before(_queue uuid, _priority integer, at timestamptz)
returns boolean
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  next record;
begin
  next := supaqueue.next_priority(_queue, -2147483649);
  while next.priority < _priority loop
    if next.run_at <= at then
      return true;
    end if;
    next := supaqueue.next_priority(_queue, next.priority);
  end loop;
  return false;
end
$$;

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
security definer
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

-- Moves the front of a queue to a job that was just taken, unless somebody else
-- moves or drops it just now: nobody waits for a hint.
create or replace function supaqueue.set_queue_front(_job uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  job supaqueue.job;
begin
  select j.* into job from supaqueue.job j where j.id = _job;
  if pg_try_advisory_xact_lock(hashtextextended('supaqueue.queue_front:' || job.queue, 0)) is not true then
    return;
  end if;
  update supaqueue.queue_front f
  set priority = job.priority, run_at = job.run_at, position = job.position
  where f.queue = (select g.queue from supaqueue.queue_front g where g.queue = job.queue for update skip locked);
  if not found and not exists (select from supaqueue.queue_front f where f.queue = job.queue) then
    insert into supaqueue.queue_front (queue, priority, run_at, position)
    values (job.queue, job.priority, job.run_at, job.position);
  end if;
end
$$;

-- Drops the hints of queues (null: of all) that are at or past a time.
create or replace function supaqueue.drop_queue_fronts(_queues uuid[], since timestamptz)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  delete from supaqueue.queue_front f
  where f.queue = any (array(
    select g.queue from supaqueue.queue_front g
    where (_queues is null or g.queue = any (_queues)) and g.run_at >= since
    for update skip locked
  ));
end
$$;
