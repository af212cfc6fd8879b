-- The headers of a job with the traceparent of the API request that inserts it (PostgREST's setting
-- request.headers), so that its call goes on with that trace. Headers that name one, or have no room for it,
-- stay as they are, and a malformed one (W3C Trace Context, section 3.2.2) is ignored. Never fails: it does not
-- read the setting as JSON, which may be anything.
create or replace function supaqueue.with_traceparent(headers jsonb, request_headers text)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
declare
  traceparent text := substring(request_headers from
    '"traceparent"\s*:\s*"\s*((?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})\s*"');
begin
  if traceparent is null or headers::text ~* '"traceparent":' or jsonb_typeof(headers) <> 'object'
    or octet_length(headers::text) > 16000
  then
    return headers;
  end if;
  return coalesce(headers, '{}') || jsonb_build_object('traceparent', traceparent);
end
$$;
