create or replace view supaqueue.queue_status with (security_invoker = true) as
select
  q.id,
  q.name,
  q.edge_function_name,
  q.is_paused,
  (select count(*) from supaqueue.worker w where w.queue = q.id) as workers,
  (select count(*) from supaqueue.worker w where w.queue = q.id and w.locked) as busy_workers,
  coalesce(c.pending, 0) as pending,
  coalesce(c.waiting, 0) as waiting,
  coalesce(c.in_progress, 0) as in_progress,
  coalesce(c.successful, 0) as successful,
  coalesce(c.failed, 0) as failed,
  coalesce(c.cancelled, 0) as cancelled
from supaqueue.queue q
left join (
  select
    d.queue,
    sum(d.difference) filter (where d.status = 'pending') as pending,
    sum(d.difference) filter (where d.status = 'waiting') as waiting,
    sum(d.difference) filter (where d.status = 'in_progress') as in_progress,
    sum(d.difference) filter (where d.status = 'successful') as successful,
    sum(d.difference) filter (where d.status = 'failed') as failed,
    sum(d.difference) filter (where d.status = 'cancelled') as cancelled
  from supaqueue.job_count d
  group by d.queue
) c on c.queue = q.id;
comment on view supaqueue.queue_status is 'Each queue with its workers and its number of jobs per status, exact and cheap at any number of jobs';

create or replace function supaqueue.problems()
returns table (queue text, job uuid, problem text, remedy text)
language sql
stable
security definer
set search_path = ''
as $$
  select null::text, null::uuid, p.problem, p.remedy
  from supaqueue.dispatch_problem() p
  where p.problem is not null
  union all
  select q.name, null, 'the queue has no workers', format('Run: select supaqueue.set_workers(%L, 1);', q.name)
  from supaqueue.queue q
  where not exists (select from supaqueue.worker w where w.queue = q.id)
    and exists (select from supaqueue.job j where j.queue = q.id and j.status = 'pending')
  union all
  select
    q.name, c.job,
    format('sent to the supaqueue function %s times without being acknowledged; of the last, %s',
      c.dispatches, supaqueue.request_outcome(c.request_id)),
    'See the function''s logs, and run `supaqueue doctor`.'
  from supaqueue.current_job c
  join supaqueue.queue q on q.id = c.queue
  where c.acknowledged_at is null and c.dispatches > 1
$$;

create or replace view supaqueue.problem with (security_invoker = true) as
select * from supaqueue.problems();
comment on view supaqueue.problem is 'Why jobs are not running, with the remedy; empty when all is well';
