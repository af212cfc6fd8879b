-- Returns all jobs connected with a job by dependencies, in the order in which they were inserted. A
-- source that was deleted while one of its targets waited comes last, as 'deleted'.
create or replace function supaqueue.pipeline(job uuid)
returns table (
  id uuid, queue text, status text, attempts integer, sources uuid[], targets uuid[],
  waits_for integer, created_at timestamptz, started_at timestamptz, finished_at timestamptz
)
language sql
stable
set search_path = ''
as $$
  with recursive member (id) as (
    select pipeline.job
    union
    select neighbour.id
    from member m
    cross join lateral (
      select e.target from supaqueue.job_dependencies e where e.source = m.id
      union all
      select e.source from supaqueue.job_dependencies e where e.target = m.id
    ) as neighbour (id)
  )
  select
    m.id,
    q.name,
    coalesce(j.status, 'deleted'),
    j.attempts,
    array(select e.source from supaqueue.job_dependencies e where e.target = m.id order by e.source),
    array(select e.target from supaqueue.job_dependencies e where e.source = m.id order by e.target),
    coalesce(d.unfinished, 0),
    j.created_at,
    j.started_at,
    j.finished_at
  from member m
  left join supaqueue.job j on j.id = m.id
  left join supaqueue.queue q on q.id = j.queue
  left join supaqueue.dependent_job d on d.id = m.id
  where j.id is not null or m.id <> pipeline.job
  order by j.position nulls last, m.id
$$;
comment on function supaqueue.pipeline is 'All jobs connected with a job by dependencies, with their statuses';
