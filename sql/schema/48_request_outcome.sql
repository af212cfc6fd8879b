-- What pg_net knows about a request that was made at _sent_at: why a job was not acknowledged.
--
-- pg_net's answers have an index on the time only, and may be millions.
create or replace function supaqueue.request_outcome(_request bigint, _sent_at timestamptz)
returns text
language plpgsql
stable
set search_path = ''
set lock_timeout = '20ms'
as $$
declare
  response record;
begin
  select r.status_code, r.timed_out, r.error_msg, left(r.content, 200) as content
  into response
  from net._http_response r
  where r.id = _request and r.created between _sent_at - interval '1 second' and _sent_at + interval '2 minutes';
  return case
    -- The queue has no index either. Its first requests are the oldest.
    when not found and exists (
      select from (select w.id from net.http_request_queue w limit 10000) w where w.id = _request
    ) then 'pg_net has not sent it'
    when not found then 'pg_net has no answer to it'
    when response.timed_out then 'it was not answered in time'
    when response.status_code is not null then
      'it was answered with ' || response.status_code || coalesce(': ' || response.content, '')
    else 'it could not be sent: ' || coalesce(response.error_msg, 'pg_net gave no reason')
  end;
exception
  when others then
    return 'pg_net''s answer cannot be read: ' || sqlerrm;
end
$$;
