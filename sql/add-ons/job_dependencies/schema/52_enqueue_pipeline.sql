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
  problem text := supaqueue.pipeline_problem(pipeline);
  documents jsonb[];
  ids uuid[];
  by_name jsonb;
begin
  if problem is not null then
    raise exception 'cannot enqueue the pipeline: %', problem
      using errcode = 'invalid_parameter_value', hint =
        'An example: [{"name": "a", "queue": "q"}, {"name": "b", "queue": "q", "depends_on": ["a"]}]. Further keys are '
        'payload, priority, run_at, headers, max_attempts, timeout_ms, path, tenant, key, required_by, on_failure and pass_results. '
        'depends_on takes names of jobs in the document and ids of existing jobs, required_by only ids.';
  end if;
  documents := array(select jsonb_array_elements(pipeline));
  ids := array(select supaqueue.new_id() from unnest(documents));
  by_name := (
    select coalesce(jsonb_object_agg(j.document ->> 'name', j.id), '{}') from unnest(ids, documents) as j (id, document)
  );

  insert into supaqueue.job (id, queue, payload, status, priority, run_at, headers, max_attempts, timeout_ms, path, tenant, key)
  select
    j.id,
    q.id,
    coalesce(j.document -> 'payload', '{}'),
    case when jsonb_array_length(coalesce(j.document -> 'depends_on', '[]')) > 0 then 'waiting' else 'pending' end,
    coalesce((j.document ->> 'priority')::integer, 0),
    coalesce((j.document ->> 'run_at')::timestamptz, now()),
    nullif(j.document -> 'headers', 'null'),
    (j.document ->> 'max_attempts')::integer,
    (j.document ->> 'timeout_ms')::integer,
    j.document ->> 'path',
    j.document ->> 'tenant',
    j.document ->> 'key'
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
    select coalesce(by_name ->> x.other, x.other)::uuid as source, j.id as target
    from jsonb_array_elements_text(j.document -> 'depends_on') as x (other)
    union all
    select j.id, x.other::uuid from jsonb_array_elements_text(j.document -> 'required_by') as x (other)
  ) d;
  return by_name;
end
$$;
comment on function supaqueue.enqueue_pipeline is 'Enqueues the jobs of a JSON document with their dependencies; returns the ids by name';
