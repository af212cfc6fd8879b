-- Moves the front of a queue to a job that was just taken, unless somebody else
-- moves or drops it just now: nobody waits for a hint.
create or replace function supaqueue.set_queue_front(_job uuid)
returns void
language plpgsql
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
