-- Here and in all following files, the add-on reads its tables row by row through an index, whatever
-- the statistics were when a session planned the query (see the core's plan_settings). The planner may
-- arrange a join as it likes, and then scans a table that was small at the time; it cannot rearrange
-- a lateral subquery with "offset 0", and an "order by" in it selects the index with that order.
-- Rows to update or delete are found in the same way and identified by their ctid. Rows that the
-- statement itself locks cannot be identified like that: it would miss the version that another
-- transaction has written meanwhile.

-- Returns the given jobs and all jobs that depend on them, directly or indirectly.
create or replace function supaqueue.reachable(jobs uuid[])
returns uuid[]
language sql
stable
set search_path = ''
as $$
  with recursive reached (job) as (
    select unnest(jobs)
    union
    select e.target
    from reached r
    cross join lateral (
      select d.target from supaqueue.job_dependencies d where d.source = r.job offset 0
    ) e
  )
  select coalesce(array_agg(r.job), '{}') from reached r
$$;
