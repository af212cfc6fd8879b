-- The jobs connected with a job by dependencies, the nearest first, and at most so many: a pipeline may have millions.
create or replace function supaqueue.connected(job uuid, at_most integer)
returns setof uuid
language sql
stable
set search_path = ''
as $$
  with recursive member (id) as (
    select connected.job
    union
    select neighbour.id
    from member m
    cross join lateral (
      (select e.target from supaqueue.job_dependencies e where e.source = m.id order by e.target limit at_most)
      union all
      (select e.source from supaqueue.job_dependencies e where e.target = m.id order by e.source limit at_most)
    ) as neighbour (id)
  )
  select m.id from member m limit at_most
$$;

-- A pipeline for a page: its jobs in the order in which they were inserted, and their dependencies. Null if there is no
-- such job. Of a larger pipeline it has the jobs nearest to the given one, and is_whole is false.
create or replace function supaqueue.show_pipeline(job uuid, at_most integer default 200)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  max_dependencies constant integer := 2000;
  members uuid[] := array(select supaqueue.connected(job, at_most + 1));
  jobs jsonb;
  dependencies jsonb;
begin
  if cardinality(members) = 1 and not exists (select from supaqueue.job j where j.id = members[1]) then
    return null;
  end if;
  jobs := (
    select jsonb_agg(jsonb_build_object(
        'id', m.id, 'queue', j.queue_name, 'status', coalesce(j.status, 'deleted'), 'attempts', j.attempts,
        'http_status', j.http_status, 'created_at', j.created_at, 'started_at', j.started_at,
        'finished_at', j.finished_at, 'duration_ms', j.duration_ms
      ) order by j.position nulls last, m.id)
    from unnest(members[:at_most]) as m (id)
    left join lateral (
      select t.*, (select q.name from supaqueue.queue q where q.id = t.queue) as queue_name
      from supaqueue.job t
      where t.id = m.id
      offset 0
    ) j on true
  );
  dependencies := (
    select coalesce(jsonb_agg(to_jsonb(d)), '[]')
    from (
      select e.source, e.target, e.on_failure, e.pass_result
      from unnest(members[:at_most]) as m (id)
      cross join lateral (
        select * from supaqueue.job_dependencies t where t.target = m.id order by t.source limit at_most
      ) e
      where e.source = any (members[:at_most])
      limit max_dependencies + 1
    ) d
  );
  return jsonb_build_object(
    'jobs', jobs,
    'dependencies', dependencies - max_dependencies,
    'is_whole', cardinality(members) <= at_most and jsonb_array_length(dependencies) <= max_dependencies
  );
end
$$;
comment on function supaqueue.show_pipeline is 'The jobs connected with a job by dependencies, and the dependencies, as JSON; of a large pipeline the nearest at_most jobs';
