-- Locks the counts of jobs and of the targets that the end of the jobs can reach, in
-- the order of their ids, and all at once: who locks more later could be waiting for
-- somebody who waits for them.
--
-- A source that succeeds reaches its own targets. One that fails, or is retried,
-- reaches on through the targets that it cancels or brings back (reaches_on).
create or replace function supaqueue.lock_dependents(_jobs uuid[], _sources uuid[], reaches_on boolean)
returns void
language plpgsql
set search_path = ''
as $$
declare
  reached uuid[];
begin
  if reaches_on then
    reached := supaqueue.failure_reaches(_sources);
  else
    reached := array(
      select e.target
      from unnest(_sources) as s (id)
      cross join lateral (select d.target from supaqueue.job_dependencies d where d.source = s.id offset 0) e
    );
  end if;
  perform
  from (select distinct unnest(_jobs || reached) as id order by id) c
  cross join lateral (select from supaqueue.dependent_job d where d.id = c.id for update) d;
end
$$;

create or replace function supaqueue.failure_reaches(_sources uuid[])
returns uuid[]
language sql
stable
set search_path = ''
as $$
  with recursive reached (job, goes_on) as (
    select e.target, e.on_failure = 'fail'
    from unnest(_sources) as s (id)
    cross join lateral (
      select d.target, d.on_failure from supaqueue.job_dependencies d where d.source = s.id offset 0
    ) e
    union
    select e.target, e.on_failure = 'fail'
    from reached r
    cross join lateral (
      select d.target, d.on_failure from supaqueue.job_dependencies d where d.source = r.job offset 0
    ) e
    where r.goes_on
  )
  select coalesce(array_agg(distinct r.job), '{}') from reached r
$$;
