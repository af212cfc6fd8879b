-- Returns the targets that a failure of the sources, or its retry, affects: their own, and those of
-- each target that it cancels or restores.
create or replace function supaqueue.targets_of_failure(_sources uuid[])
returns uuid[]
language sql
stable
set search_path = ''
as $$
  with recursive reached (job, is_cancelled) as (
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
    where r.is_cancelled
  )
  select coalesce(array_agg(distinct r.job), '{}') from reached r
$$;
