-- What is wrong with the document of a pipeline (see enqueue_pipeline), or null.
create or replace function supaqueue.pipeline_problem(pipeline jsonb)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  id_pattern constant text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
  problem text;
  members text[];
begin
  if jsonb_typeof(pipeline) is distinct from 'array' then
    return 'it is not a list of jobs';
  end if;
  problem := (
    select p.problem
    from jsonb_array_elements(pipeline) with ordinality as j (job, number)
    cross join lateral (
      select case
        when jsonb_typeof(j.job) <> 'object' or jsonb_typeof(j.job -> 'name') is distinct from 'string'
          or jsonb_typeof(j.job -> 'queue') is distinct from 'string'
        then format('job %s needs a "name" and a "queue", both strings', j.number)
        when jsonb_typeof(coalesce(j.job -> 'depends_on', '[]')) <> 'array'
          or jsonb_typeof(coalesce(j.job -> 'required_by', '[]')) <> 'array'
        then format('depends_on and required_by of job %L must be lists', j.job ->> 'name')
        else (
          select format('job %L has an unknown key %L', j.job ->> 'name', k.key)
          from jsonb_object_keys(j.job) as k (key)
          where k.key not in (
            'name', 'queue', 'payload', 'priority', 'run_at', 'headers', 'max_attempts', 'timeout_ms', 'path', 'tenant', 'key',
            'depends_on', 'required_by', 'on_failure', 'pass_results')
          limit 1
        )
      end
    ) as p (problem)
    where p.problem is not null
    order by j.number
    limit 1
  );
  problem := coalesce(problem, (
    select format('two of its jobs are named %L', j ->> 'name')
    from jsonb_array_elements(pipeline) j
    group by j ->> 'name'
    having count(*) > 1
    limit 1
  ));
  problem := coalesce(problem, (
    select format('job %L refers to %s, which is neither one of its jobs nor an id',
      j ->> 'name', coalesce(quote_literal(d.other), 'null'))
    from jsonb_array_elements(pipeline) j
    cross join lateral (
      select x.other from jsonb_array_elements_text(j -> 'depends_on') as x (other)
      where x.other is null or x.other not in (select n ->> 'name' from jsonb_array_elements(pipeline) n)
      union all
      select x.other from jsonb_array_elements_text(j -> 'required_by') as x (other)
    ) d
    where (d.other ~* id_pattern) is not true
    limit 1
  ));
  if problem is not null then
    return problem;
  end if;

  select supaqueue.find_cycle(array_agg(d.other), array_agg(j ->> 'name')) into members
  from jsonb_array_elements(pipeline) j
  cross join lateral jsonb_array_elements_text(j -> 'depends_on') as d (other);
  return 'its jobs would wait for each other: '
    || array_to_string(members[1:20], ' → ') || case when cardinality(members) > 20 then ' → …' else '' end
    || ' → ' || members[1];
end
$$;
