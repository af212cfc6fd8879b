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
