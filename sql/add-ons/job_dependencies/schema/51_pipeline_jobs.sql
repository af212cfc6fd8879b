-- Validates the document of a pipeline; returns its jobs in order.
create or replace function supaqueue.pipeline_jobs(pipeline jsonb)
returns table (number bigint, name text, job jsonb)
language plpgsql
stable
set search_path = ''
as $$
declare
  entry record;
  unknown text;
begin
  if jsonb_typeof(pipeline) is distinct from 'array' then
    raise exception 'cannot enqueue the pipeline: it is not a list of jobs'
      using errcode = 'invalid_parameter_value',
        hint = 'An example: [{"name": "a", "queue": "q"}, {"name": "b", "queue": "q", "depends_on": ["a"]}].';
  end if;

  for entry in
    select j.ordinality as number, j.value as job, j.value ->> 'name' as name
    from jsonb_array_elements(pipeline) with ordinality as j
  loop
    if jsonb_typeof(entry.job) <> 'object' or jsonb_typeof(entry.job -> 'name') is distinct from 'string'
      or jsonb_typeof(entry.job -> 'queue') is distinct from 'string'
    then
      raise exception 'cannot enqueue the pipeline: job % needs a "name" and a "queue", both strings', entry.number
        using errcode = 'invalid_parameter_value';
    end if;
    unknown := (
      select k.key from jsonb_object_keys(entry.job) as k (key)
      where k.key not in (
        'name', 'queue', 'payload', 'priority', 'run_at', 'headers', 'max_attempts', 'timeout_ms',
        'depends_on', 'required_by', 'on_failure', 'pass_results')
      limit 1
    );
    if unknown is not null then
      raise exception 'cannot enqueue the pipeline: job % has an unknown key %', quote_literal(entry.name), quote_literal(unknown)
        using errcode = 'invalid_parameter_value',
          hint = 'Valid keys are name, queue, payload, priority, run_at, headers, max_attempts, timeout_ms, depends_on, required_by, on_failure and pass_results.';
    end if;
    if jsonb_typeof(coalesce(entry.job -> 'depends_on', '[]')) <> 'array'
      or jsonb_typeof(coalesce(entry.job -> 'required_by', '[]')) <> 'array'
    then
      raise exception 'cannot enqueue the pipeline: depends_on and required_by of job % must be lists', quote_literal(entry.name)
        using errcode = 'invalid_parameter_value';
    end if;
  end loop;

  return query
    select j.ordinality, j.value ->> 'name', j.value
    from jsonb_array_elements(pipeline) with ordinality as j;
end
$$;
