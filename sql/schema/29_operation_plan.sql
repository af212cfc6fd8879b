-- The filter of an operation, as find_jobs reads it, of the jobs that the action acts on. Refuses what cannot be done.
create or replace function supaqueue.operation_plan(action text, filter jsonb, changes jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  f jsonb := supaqueue.check_filter(filter);
  statuses jsonb := case action
    when 'retry' then case when f -> 'status' ? 'successful' then '["failed", "cancelled", "successful"]' else '["failed", "cancelled"]' end
    when 'cancel' then '["pending", "waiting", "in_progress"]'
    when 'change' then '["pending", "waiting", "in_progress"]'
    when 'delete' then '["pending", "waiting", "in_progress", "successful", "failed", "cancelled"]'
  end;
begin
  if statuses is null then
    raise exception 'cannot act on jobs: there is no action %', coalesce(quote_literal(action), 'null')
      using errcode = 'invalid_parameter_value', hint = 'The actions are retry, cancel, delete and change.';
  elsif action = 'change' then
    perform supaqueue.check_changes(changes);
  elsif changes is not null then
    raise exception 'cannot % jobs: changes are for the action change', action
      using errcode = 'invalid_parameter_value', hint = 'Leave changes out.';
  end if;
  if f ? 'status' then
    if f -> 'status' <> '[]' and not statuses ?| array(select jsonb_array_elements_text(f -> 'status')) then
      raise exception 'cannot % jobs that are %', action, array_to_string(array(select jsonb_array_elements_text(f -> 'status')), ' or ')
        using errcode = 'invalid_parameter_value',
          hint = format('The action %s is for jobs that are %s.', action,
            case action
              when 'retry' then 'failed, cancelled or successful'
              else 'pending, waiting or in_progress'
            end);
    end if;
    statuses := (select coalesce(jsonb_agg(s.value), '[]') from jsonb_array_elements(statuses) s where f -> 'status' @> s.value);
  end if;
  return f || jsonb_build_object('status', statuses);
end
$$;

-- Checks the new values of a change.
create or replace function supaqueue.check_changes(changes jsonb)
returns void
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
declare
  known constant jsonb := '{
    "priority": "a whole number", "run_at": "an ISO 8601 time", "max_attempts": "a whole number, or null", "timeout_ms": "a whole number, or null",
    "headers": "an object, or null", "path": "a string, or null", "tenant": "a string, or null", "payload": "JSON other than null", "queue": "the name of a queue"
  }';
  change record;
  fits boolean;
  broken record;
begin
  if jsonb_typeof(changes) is distinct from 'object' or changes = '{}' then
    raise exception 'cannot change jobs: changes is not an object with new values'
      using errcode = 'invalid_parameter_value', hint = 'An example: {"priority": -1}.';
  end if;
  for change in select c.key as name, c.value, known ->> c.key as kind from jsonb_each(changes) c loop
    if change.kind is null then
      raise exception 'cannot change %: it is not a column that an operation can change', quote_ident(change.name)
        using errcode = 'invalid_parameter_value',
          hint = 'Those are ' || (select string_agg(k.name, ', ') from jsonb_object_keys(known) k (name)) || '.';
    end if;
    begin
      fits := true;
      if change.value = 'null' then
        fits := change.kind like '%, or null';
      elsif change.name in ('priority', 'max_attempts', 'timeout_ms') then
        perform change.value::text::integer;
      elsif change.name = 'run_at' then
        fits := jsonb_typeof(change.value) = 'string' and change.value #>> '{}' ~ '^\d{4,6}-\d\d-\d\d';
        if fits then
          perform (change.value #>> '{}')::timestamptz;
        end if;
      elsif change.name in ('path', 'tenant', 'queue') then
        fits := jsonb_typeof(change.value) = 'string';
      elsif change.name = 'headers' then
        fits := jsonb_typeof(change.value) = 'object';
      end if;
    exception
      when data_exception then fits := false;
    end;
    if not fits then
      raise exception 'cannot change %: its new value is not %', change.name, change.kind
        using errcode = 'invalid_parameter_value', hint = format('It is %s.', left(change.value::text, 100));
    elsif change.name = 'queue' then
      perform supaqueue.queue_id(change.value #>> '{}');
    end if;
  end loop;
  broken := supaqueue.broken_rule(
    coalesce(changes -> 'payload', '{}'), (changes ->> 'max_attempts')::integer, (changes ->> 'timeout_ms')::integer,
    nullif(changes -> 'headers', 'null'), changes ->> 'path', changes ->> 'tenant');
  if broken.rule is not null then
    raise exception 'cannot change jobs: %', broken.problem
      using errcode = 'check_violation', constraint = broken.rule, schema = 'supaqueue', table = 'job';
  end if;
end
$$;
