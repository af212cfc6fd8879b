-- Locks the jobs of a queue that are next, at most _limit, and returns their ids. Jobs that
-- have just become due are admitted first. The tick admits those that became due long ago: their
-- rows may be many that vacuum may not remove yet.
--
-- "skip locked" can wait all the same: a row whose new version was just committed is followed to
-- that version, and if that is locked, Postgres waits for it (heap_lock_updated_tuple). The lock
-- may belong to a report that waits for the queue's lock, which our caller may hold. So this gives
-- up (55P03) long before Postgres looks for a deadlock.
create or replace function supaqueue.next_jobs(_queue uuid, _limit integer)
returns uuid[]
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  at timestamptz := clock_timestamp();
  front supaqueue.queue_front;
begin
  if _limit <= 0 then
    return '{}';
  end if;
  if exists (
    select from supaqueue.held_job h
    where h.queue = _queue and h.until > at - interval '10 seconds' and h.until <= at
    limit 1
  ) and supaqueue.admit_jobs(_queue, at - interval '10 seconds', 100) > 0 then
    perform supaqueue.lower_fronts(array[_queue]);
  end if;
  select f.* into front from supaqueue.queue_front f where f.queue = _queue;
  if not found then
    front := row(_queue, -2147483648, '-infinity', 0);
  end if;
  return array(
    select j.id
    from supaqueue.ready_job r
    -- Not a join: with stale statistics, that would begin with the jobs, of which there may be millions.
    cross join lateral (
      select l.id from supaqueue.job l
      where l.id = r.job and l.status = 'pending'
        -- A job that was changed without triggers is elsewhere.
        and l.queue = r.queue and l.priority = r.priority and l.run_at = r.run_at
      for no key update skip locked
    ) j
    where r.queue = _queue and (r.priority, r.run_at, r.position) >= (front.priority, front.run_at, front.position)
    order by r.priority, r.run_at, r.position
    limit _limit
  );
end
$$;

-- Whether there is a next job of a queue.
create or replace function supaqueue.has_next_job(_queue uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
  front supaqueue.queue_front;
begin
  select f.* into front from supaqueue.queue_front f where f.queue = _queue;
  return exists (
    select from supaqueue.held_job h
    where h.queue = _queue and h.until > at - interval '10 seconds' and h.until <= at
    limit 1
  ) or exists (
    select from supaqueue.ready_job r
    where r.queue = _queue
      and (r.priority, r.run_at, r.position)
        >= (coalesce(front.priority, -2147483648), coalesce(front.run_at, '-infinity'), coalesce(front.position, 0))
    limit 1
  );
end
$$;
