-- Why a target is waiting, in one plain sentence; null if it waits for no other job.
create or replace function supaqueue.explain_waiting(job uuid)
returns text
language sql
stable
set search_path = ''
as $$
  select coalesce(
    (
      select format('The end of job %s has not reached it yet: it reaches a thousand jobs at a time, at the next ticks.', p.source)
      from supaqueue.propagation p
      where explain_waiting.job between p.from_target and p.to_target
        and exists (
          select from supaqueue.job_dependencies e where e.source = p.source and e.target = explain_waiting.job offset 0
        )
      limit 1
    ),
    (
      select format('It waits for other jobs (%s): select * from supaqueue.pipeline(%L);', d.unfinished, d.id)
      from supaqueue.dependent_job d
      where d.id = explain_waiting.job and d.unfinished > 0
    )
  )
$$;
comment on function supaqueue.explain_waiting is 'Why a target of job dependencies is waiting, in one plain sentence';
