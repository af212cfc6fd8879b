-- Checks a filter of jobs, and returns it as find_jobs reads it: lists where one value or several are allowed, the ids of
-- queues for their names, and times in UTC. What it does not know is refused, so that a filter with a
-- typing error never means all jobs.
create or replace function supaqueue.check_filter(filter jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
declare
  known constant jsonb := '{
    "queue": "the name of a queue, or a list of names",
    "status": "pending, waiting, in_progress, successful, failed or cancelled, or a list of them",
    "key": "a string, or a list of strings",
    "tenant": "a string, or a list of strings",
    "error_group": "a string, or a list of strings",
    "http_status": "a whole number, or a list of them",
    "created_after": "an ISO 8601 time, such as 2026-01-31T12:00:00Z",
    "created_before": "an ISO 8601 time, such as 2026-01-31T12:00:00Z",
    "finished_after": "an ISO 8601 time, such as 2026-01-31T12:00:00Z",
    "finished_before": "an ISO 8601 time, such as 2026-01-31T12:00:00Z",
    "payload": "the JSON that the payload contains, such as {\"user\": 42}",
    "ids": "a list of at most 10000 ids"
  }';
  checked jsonb := '{}';
  field record;
  _values jsonb;
  value jsonb;
  fits boolean;
begin
  if jsonb_typeof(filter) is distinct from 'object' then
    raise exception 'cannot filter jobs: the filter is not an object'
      using errcode = 'invalid_parameter_value', hint = 'An example: {"queue": "emails", "status": "failed"}. {} is every job.';
  end if;
  for field in select f.key as name, f.value, known ->> f.key as kind from jsonb_each(filter) f loop
    if field.kind is null then
      raise exception 'cannot filter jobs: there is no field %', quote_literal(field.name)
        using errcode = 'invalid_parameter_value',
          hint = 'The fields are ' || (select string_agg(k.name, ', ') from jsonb_object_keys(known) k (name)) || '.';
    end if;
    _values := case
      when field.name <> 'payload' and field.name !~ '_(after|before)$' and jsonb_typeof(field.value) = 'array' then field.value
      else jsonb_build_array(field.value)
    end;
    fits := field.value <> 'null' and (field.name <> 'ids' or jsonb_array_length(_values) <= 10000);
    for value in select v.value from jsonb_array_elements(_values) v loop
      exit when not fits;
      begin
        case
          when field.name = 'payload' then null;
          when field.name = 'http_status' then fits := value::text ~ '^[0-9]{1,9}$';
          when jsonb_typeof(value) <> 'string' then fits := false;
          when field.name = 'status' then
            fits := value #>> '{}' in ('pending', 'waiting', 'in_progress', 'successful', 'failed', 'cancelled');
          when field.name = 'ids' then perform (value #>> '{}')::uuid;
          when field.name ~ '_(after|before)$' then
            fits := value #>> '{}' ~ '^\d{4,6}-\d\d-\d\d';
            if fits then
              perform (value #>> '{}')::timestamptz;
            end if;
          else null;
        end case;
      exception
        when data_exception then fits := false;
      end;
    end loop;
    if not fits then
      raise exception 'cannot filter jobs: % is not %', field.name, field.kind
        using errcode = 'invalid_parameter_value', hint = format('It is %s.', left(field.value::text, 100));
    end if;
    checked := checked || jsonb_build_object(field.name, case
      when field.name = 'queue' then (
        select coalesce(jsonb_agg(distinct supaqueue.queue_id(n.name)), '[]') from jsonb_array_elements_text(_values) n (name)
      )
      when field.name = 'ids' then (select coalesce(jsonb_agg(distinct i.id::uuid), '[]') from jsonb_array_elements_text(_values) i (id))
      when field.name = 'payload' then field.value
      when field.name ~ '_(after|before)$' then to_jsonb((field.value #>> '{}')::timestamptz)
      else (select coalesce(jsonb_agg(distinct v.value), '[]') from jsonb_array_elements(_values) v)
    end);
  end loop;
  return checked;
end
$$;
comment on function supaqueue.check_filter is 'Checks a filter of jobs; an error names the field that does not fit';
