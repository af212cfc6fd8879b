-- The errors of a job with one more, without the oldest ones beyond the setting max_errors.
create or replace function supaqueue.add_error(
  errors jsonb, attempt integer, message text, status integer default null, body jsonb default null
)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  entries jsonb := errors || jsonb_strip_nulls(jsonb_build_object(
    'attempt', attempt, 'at', clock_timestamp(), 'status', status, 'message', message, 'body', body));
begin
  for i in 1 .. jsonb_array_length(entries) - (supaqueue.settings()).max_errors loop
    entries := entries - 0;
  end loop;
  return entries;
end
$$;
