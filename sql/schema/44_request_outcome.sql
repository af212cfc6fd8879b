-- What pg_net knows of a request, for the reason why a job was not acknowledged.
create or replace function supaqueue.request_outcome(_request bigint)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  response record;
begin
  if to_regclass('net._http_response') is not null then
    select r.status_code, r.timed_out, r.error_msg, left(r.content, 200) as content
    into response
    from net._http_response r
    where r.id = _request;
    if found then
      return case
        when response.timed_out then 'it did not answer in time'
        when response.status_code is not null then
          'it answered ' || response.status_code || coalesce(': ' || response.content, '')
        else 'it could not be reached: ' || coalesce(response.error_msg, 'pg_net gave no reason')
      end;
    end if;
  end if;
  return 'pg_net has no answer of it';
end
$$;
