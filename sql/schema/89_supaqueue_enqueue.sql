-- The options of a job that came through the API, without those that are null. Refuses what enqueue does not take.
--
-- A time without a zone is UTC, whatever the session says.
create or replace function supaqueue.checked_options(options jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
declare
  known constant jsonb := '{
    "key": "a string", "on_conflict": "a string", "priority": "a whole number", "run_at": "an ISO 8601 time",
    "headers": "an object", "max_attempts": "a whole number", "timeout_ms": "a whole number", "path": "a string", "tenant": "a string",
    "depends_on": "a list of ids", "on_failure": "a string", "pass_results": "a boolean"
  }';
  checked jsonb := '{}';
  option record;
  fits boolean;
begin
  if jsonb_typeof(options) <> 'object' then
    raise exception 'cannot enqueue: % is not an object', left(options::text, 100)
      using errcode = 'invalid_parameter_value',
        hint = 'Options are an object, such as {"priority": -1}; so is each of several jobs: {"payload": {"id": 1}, "priority": -1}.';
  end if;
  for option in
    select o.key as name, o.value, known ->> o.key as kind from jsonb_each(options) o where o.value <> 'null'
  loop
    if option.kind is null then
      raise exception 'cannot enqueue: there is no option %', quote_literal(option.name)
        using errcode = 'invalid_parameter_value',
          hint = 'The options are ' || (select string_agg(k, ', ') from jsonb_object_keys(known) k) || '.';
    elsif option.name in ('depends_on', 'on_failure', 'pass_results') and to_regclass('supaqueue.job_dependencies') is null then
      raise exception 'cannot enqueue: the option % needs the add-on job_dependencies, which is not installed', option.name
        using errcode = 'feature_not_supported', hint = 'Install it: supaqueue add-on add job_dependencies';
    end if;
    begin
      fits := true;
      case option.kind
        when 'a whole number' then perform option.value::text::integer;
        when 'a list of ids' then perform jsonb_array_elements_text(option.value)::uuid;
        when 'an ISO 8601 time' then
          fits := jsonb_typeof(option.value) = 'string';
          if fits then
            option.value := to_jsonb((option.value #>> '{}')::timestamptz);
          end if;
        else fits := option.kind like '%' || jsonb_typeof(option.value);
      end case;
    exception
      when data_exception then fits := false;
    end;
    if not fits then
      raise exception 'cannot enqueue: the option % must be %, not %', option.name, option.kind, left(option.value::text, 100)
        using errcode = 'invalid_parameter_value';
    end if;
    checked := checked || jsonb_build_object(option.name, option.value);
  end loop;
  return checked;
end
$$;

create or replace function public.supaqueue_enqueue(queue_name text, payload jsonb default '{}', options jsonb default '{}')
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  o jsonb := supaqueue.checked_options(options);
  priority integer := coalesce((o ->> 'priority')::integer, 0);
  run_at timestamptz := coalesce((o ->> 'run_at')::timestamptz, now());
  on_conflict text := coalesce(o ->> 'on_conflict', 'keep');
  result record;
begin
  -- PostgREST makes an SQL null of a JSON null, which is refused with a reason.
  payload := coalesce(payload, 'null');
  if o ?| array['depends_on', 'on_failure', 'pass_results'] then
    select * into result
    from supaqueue.enqueue_outcome(
      queue_name::varchar, payload, priority, run_at, o -> 'headers', (o ->> 'max_attempts')::integer,
      (o ->> 'timeout_ms')::integer, o ->> 'path', o ->> 'key', on_conflict, o ->> 'tenant',
      depends_on => array(select jsonb_array_elements_text(o -> 'depends_on')::uuid),
      on_failure => coalesce(o ->> 'on_failure', 'fail'), pass_results => coalesce((o ->> 'pass_results')::boolean, false));
  else
    select * into result
    from supaqueue.enqueue_outcome(
      queue_name, payload, priority, run_at, o -> 'headers', (o ->> 'max_attempts')::integer,
      (o ->> 'timeout_ms')::integer, o ->> 'path', o ->> 'key', on_conflict, o ->> 'tenant');
  end if;
  return jsonb_build_object('id', result.job, 'outcome', result.outcome);
end
$$;
comment on function public.supaqueue_enqueue is
  'Supaqueue: puts a job in the queue of that name, through the API; returns its id and the outcome';

-- One job after the other, not one insert: each has its own options and key, and an error names its job.
create or replace function public.supaqueue_enqueue_many(queue_name text, jobs jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  max_jobs constant integer := 1000;
  job jsonb;
  results jsonb[] := '{}';
  problem text;
  _hint text;
begin
  if jsonb_typeof(jobs) is distinct from 'array' then
    raise exception 'cannot enqueue: jobs is not an array'
      using errcode = 'invalid_parameter_value', hint = 'An example: [{"payload": {"id": 1}}, {"payload": {"id": 2}, "priority": -1}].';
  elsif jsonb_array_length(jobs) > max_jobs then
    raise exception 'cannot enqueue % jobs at once: at most %', jsonb_array_length(jobs), max_jobs
      using errcode = 'invalid_parameter_value', hint = 'Send them in several calls.';
  end if;
  perform supaqueue.queue_id(queue_name);
  begin
    for job in select jsonb_array_elements(jobs) loop
      results := results || public.supaqueue_enqueue(
        queue_name, coalesce(job -> 'payload', '{}'), case jsonb_typeof(job) when 'object' then job - 'payload' else job end);
    end loop;
  exception
    when others then
      get stacked diagnostics problem = message_text, _hint = pg_exception_hint;
      raise exception using
        message = format('jobs[%s]: %s', cardinality(results), problem), errcode = sqlstate,
        hint = concat_ws(' ', nullif(_hint, ''), 'No job was inserted.');
  end;
  return to_jsonb(results);
end
$$;
comment on function public.supaqueue_enqueue_many is
  'Supaqueue: puts several jobs in the queue of that name, all or none, through the API; returns their ids and outcomes, in the same order';
