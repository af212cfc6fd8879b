-- Jobs are counted up to 100,001 each: asking must not cost what a backlog of millions costs.
create or replace view supaqueue.queue_status with (security_invoker = true) as
select
  q.id,
  q.name,
  q.edge_function_name,
  q.is_paused,
  (select count(*) from supaqueue.worker w where w.queue = q.id) as workers,
  (select count(*) from supaqueue.worker w where w.queue = q.id and w.locked) as busy_workers,
  (select count(*) from (
    select from supaqueue.ready_job r where r.queue = q.id
    union all
    select from supaqueue.held_job h where h.queue = q.id and h.until < 'infinity'
    limit 100001
  ) c) as pending,
  (select count(*) from (select from supaqueue.held_job h where h.queue = q.id and h.until = 'infinity' limit 100001) c) as waiting,
  coalesce(c.number, 0) as in_progress,
  (select count(*) from (select from supaqueue.job j where j.queue = q.id and j.ended_as = 'successful' and j.finished_at is not null limit 100001) c) as successful,
  (select count(*) from (select from supaqueue.job j where j.queue = q.id and j.ended_as = 'failed' and j.finished_at is not null limit 100001) c) as failed,
  (select count(*) from (select from supaqueue.job j where j.queue = q.id and j.ended_as = 'cancelled' and j.finished_at is not null limit 100001) c) as cancelled
from supaqueue.queue q
left join (
  -- A call whose job was cancelled, or settled by hand, is left until its run reports. A job whose call
  -- has ended may wait for the tick to settle it.
  select c.queue, count(*) as number
  from (
    select o.queue, o.job from supaqueue.current_job o
    union
    select u.queue, u.job from supaqueue.unfinished u where u.step = 'settle' and u.job is not null
  ) c
  join supaqueue.job j on j.id = c.job and j.status = 'in_progress'
  group by c.queue
) c on c.queue = q.id;
comment on view supaqueue.queue_status is 'Each queue with its workers and its number of jobs per status; 100001 means more than 100,000';
