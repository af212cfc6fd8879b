-- Inserts the jobs of a document and their dependencies; returns the ids by name.
--
-- The document is a list of {"name", "queue", "payload", "depends_on", …}. depends_on lists names
-- of other jobs in the document or ids of existing jobs; required_by lists ids of existing jobs
-- that must also wait for this one. on_failure and pass_results apply to all dependencies in both.
create or replace function supaqueue.enqueue_pipeline(pipeline jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  names text[];
  documents jsonb[];
  ids uuid[];
  by_name jsonb;
  problem record;
  members text[];
begin
  select array_agg(j.name order by j.number), array_agg(j.job order by j.number),
    array_agg(supaqueue.new_id() order by j.number), jsonb_object_agg(j.name, j.number)
  into names, documents, ids, by_name
  from supaqueue.pipeline_jobs(pipeline) j;
  if names is null then
    return '{}';
  end if;
  by_name := (select jsonb_object_agg(j.name, j.id) from unnest(names, ids) as j (name, id));
  if cardinality(names) > (select count(*) from jsonb_object_keys(by_name)) then
    raise exception 'cannot enqueue the pipeline: two of its jobs are named %', (
        select quote_literal(j.name) from unnest(names) as j (name) group by j.name having count(*) > 1 limit 1)
      using errcode = 'unique_violation';
  end if;

  select j.name, d.other into problem
  from unnest(names, documents) as j (name, document)
  cross join lateral (
    select x.other from jsonb_array_elements_text(j.document -> 'depends_on') as x (other)
    where (by_name ? x.other) is not true and supaqueue.uuid_or_null(x.other) is null
    union all
    select x.other from jsonb_array_elements_text(j.document -> 'required_by') as x (other)
    where supaqueue.uuid_or_null(x.other) is null
  ) d
  limit 1;
  if found then
    raise exception 'cannot enqueue the pipeline: job % refers to %, which is neither one of its jobs nor an id',
      quote_literal(problem.name), coalesce(quote_literal(problem.other), 'null')
      using errcode = 'invalid_parameter_value',
        hint = 'depends_on takes names of jobs in the document and ids of existing jobs, required_by only ids.';
  end if;

  select supaqueue.find_cycle(array_agg(d.other), array_agg(j.name)) into members
  from unnest(names, documents) as j (name, document)
  cross join lateral jsonb_array_elements_text(j.document -> 'depends_on') as d (other);
  if members is not null then
    raise exception 'cannot enqueue the pipeline: its jobs would wait for each other: %',
      array_to_string(members[1:20], ' → ') || case when cardinality(members) > 20 then ' → …' else '' end
        || ' → ' || members[1]
      using errcode = 'check_violation';
  end if;

  insert into supaqueue.job (id, queue, payload, status, priority, run_at, headers, max_attempts, timeout_ms)
  select
    j.id,
    q.id,
    coalesce(j.document -> 'payload', '{}'),
    case when jsonb_array_length(coalesce(j.document -> 'depends_on', '[]')) > 0 then 'waiting' else 'pending' end,
    coalesce((j.document ->> 'priority')::integer, 0),
    coalesce((j.document ->> 'run_at')::timestamptz, now()),
    nullif(j.document -> 'headers', 'null'),
    (j.document ->> 'max_attempts')::integer,
    (j.document ->> 'timeout_ms')::integer
  from unnest(ids, documents) with ordinality as j (id, document, number)
  join (
    select n.name, supaqueue.queue_id(n.name) as id
    from (select distinct d.document ->> 'queue' from unnest(documents) as d (document)) as n (name)
  ) q on q.name = j.document ->> 'queue'
  order by j.number;

  insert into supaqueue.job_dependencies (source, target, on_failure, pass_result)
  select distinct d.source, d.target,
    coalesce(j.document ->> 'on_failure', 'fail'),
    coalesce((j.document ->> 'pass_results')::boolean, false)
  from unnest(ids, documents) as j (id, document)
  cross join lateral (
    select coalesce((by_name ->> x.other)::uuid, supaqueue.uuid_or_null(x.other)) as source, j.id as target
    from jsonb_array_elements_text(j.document -> 'depends_on') as x (other)
    union all
    select j.id, x.other::uuid from jsonb_array_elements_text(j.document -> 'required_by') as x (other)
  ) d;
  return by_name;
end
$$;
comment on function supaqueue.enqueue_pipeline is 'Enqueues the jobs of a JSON document with their dependencies; returns the ids by name';
