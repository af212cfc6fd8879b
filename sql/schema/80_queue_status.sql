-- Jobs are counted up to 100,001 per status: asking must not cost what a backlog of millions costs.
-- Each condition is that of a partial index of supaqueue.job.
create or replace view supaqueue.queue_status with (security_invoker = true) as
select
  q.id,
  q.name,
  q.edge_function_name,
  q.is_paused,
  (select count(*) from supaqueue.worker w where w.queue = q.id) as workers,
  (select count(*) from supaqueue.worker w where w.queue = q.id and w.locked) as busy_workers,
  (select count(*) from (select from supaqueue.job j where j.queue = q.id and j.status = 'pending' limit 100001) c) as pending,
  (select count(*) from (select from supaqueue.job j where j.queue = q.id and j.status = 'waiting' limit 100001) c) as waiting,
  (select count(*) from (select from supaqueue.job j where j.queue = q.id and j.status = 'in_progress' limit 100001) c) as in_progress,
  (select count(*) from (select from supaqueue.job j where j.queue = q.id and j.status = 'successful' and j.finished_at is not null limit 100001) c) as successful,
  (select count(*) from (select from supaqueue.job j where j.queue = q.id and j.status = 'failed' and j.finished_at is not null limit 100001) c) as failed,
  (select count(*) from (select from supaqueue.job j where j.queue = q.id and j.status = 'cancelled' and j.finished_at is not null limit 100001) c) as cancelled
from supaqueue.queue q;
comment on view supaqueue.queue_status is 'Each queue with its workers and its number of jobs per status; 100001 means more than 100,000';
