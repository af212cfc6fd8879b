-- The front of a queue: see the table. It is exact because of the queue's lock. Whoever moves it
-- forward holds the lock exclusively, so that no other transaction is between its dispatch and its
-- commit; whoever has made jobs ready holds the lock (shared, at least) from lower_fronts to the
-- commit.

-- Moves the fronts of queues back to the first job that the transaction has made ready.
create or replace function supaqueue.lower_fronts(_queues uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  place text := coalesce(current_setting('supaqueue.first_place', true), '');
  _priority integer := nullif(split_part(place, ' ', 1), '')::integer;
  seconds numeric := nullif(split_part(place, ' ', 2), '')::numeric;
begin
  update supaqueue.queue_front f
  -- Seconds that were rounded up must not hide a job.
  set priority = _priority, run_at = to_timestamp(seconds::double precision) - interval '1 microsecond', position = 0
  where f.queue = any (_queues) and (f.priority, extract(epoch from f.run_at)) >= (_priority, seconds);
end
$$;

-- Moves the front of a queue, whose lock is held exclusively, to the first ready job; if there is
-- none, behind a job that was taken (_taken).
create or replace function supaqueue.move_front(_queue uuid, _taken uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  front supaqueue.queue_front;
  first supaqueue.queue_front;
begin
  select f.* into front from supaqueue.queue_front f where f.queue = _queue;
  select r.queue, r.priority, r.run_at, r.position into first
  from supaqueue.ready_job r
  where r.queue = _queue
    and (r.priority, r.run_at, r.position)
      >= (coalesce(front.priority, -2147483648), coalesce(front.run_at, '-infinity'), coalesce(front.position, 0))
  order by r.priority, r.run_at, r.position
  limit 1;
  if not found then
    select j.queue, j.priority, j.run_at, j.position into first
    from supaqueue.job j
    where j.id = _taken and j.queue = _queue;
  end if;
  if front.queue is null then
    insert into supaqueue.queue_front (queue, priority, run_at, position)
    select first.queue, first.priority, first.run_at, first.position
    where first.queue is not null;
  elsif (first.priority, first.run_at, first.position) > (front.priority, front.run_at, front.position) then
    update supaqueue.queue_front f
    set priority = first.priority, run_at = first.run_at, position = first.position
    where f.queue = _queue;
  end if;
end
$$;

-- Moves the front unless the queue's lock is not to be had.
create or replace function supaqueue.try_move_front(_queue uuid, _taken uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform supaqueue.lock_queues('{}', array[_queue]);
  perform supaqueue.move_front(_queue, _taken);
exception
  when lock_not_available then
    null;
end
$$;

-- Forgets the front of a queue, whose lock is held exclusively, if a ready job is before it: a job that
-- was left to the tick was made ready without lower_fronts.
create or replace function supaqueue.reset_front(_queue uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  delete from supaqueue.queue_front f
  where f.queue = _queue and exists (
    select from supaqueue.ready_job r
    where r.queue = _queue and (r.priority, r.run_at, r.position) < (f.priority, f.run_at, f.position)
  );
end
$$;
