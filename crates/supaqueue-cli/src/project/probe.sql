-- Sends a health check and empty dispatches to the supaqueue function through pg_net, and returns the
-- ids of the requests. There are three dispatches for each of the current and the next secret, as
-- some instances of the function may get a new secret later than others.
create or replace function pg_temp.supaqueue_probe() returns jsonb language plpgsql set search_path = '' as $$
declare
  address text;
  apikey text;
  secret record;
  body jsonb := '{"protocol": 2, "current_jobs": []}';
  id text;
  stamp text;
  requests jsonb := '{}';
begin
  select rtrim(s.decrypted_secret, '/') || '/functions/v1/supaqueue' into address
  from vault.decrypted_secrets s where s.name = 'supaqueue_url';
  select s.decrypted_secret into apikey
  from vault.decrypted_secrets s where s.name = 'supaqueue_anon_key';
  requests := requests || jsonb_build_object('health', net.http_get(
    url := address,
    headers := jsonb_strip_nulls(jsonb_build_object('apikey', apikey)),
    timeout_milliseconds := 10000));
  for secret in
    select
      replace(s.name, 'supaqueue_', '') || ' ' || number as name,
      supaqueue.signing_key(s.decrypted_secret) as key
    from vault.decrypted_secrets s
    cross join generate_series(1, 3) as number
    where s.name in ('supaqueue_secret', 'supaqueue_secret_next')
      and supaqueue.signing_key(s.decrypted_secret) is not null
  loop
    id := 'msg_' || replace(gen_random_uuid()::text, '-', '');
    stamp := floor(extract(epoch from clock_timestamp()))::bigint::text;
    requests := requests || jsonb_build_object(secret.name, net.http_post(
      url := address,
      body := body,
      headers := jsonb_strip_nulls(jsonb_build_object(
        'content-type', 'application/json',
        'webhook-id', id,
        'webhook-timestamp', stamp,
        'webhook-signature', supaqueue.signature(secret.key, id, stamp, body::text),
        'apikey', apikey)),
      timeout_milliseconds := 10000));
  end loop;
  return requests;
end
$$;
select pg_temp.supaqueue_probe() as result;
