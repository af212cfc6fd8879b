-- Sends a body to the supaqueue function, signed with the Vault's secret;
-- returns the id of the pg_net request. It leaves when the transaction commits.
--
-- pg_net sends body::text, so that is what is signed. Every role that can run SQL
-- can read pg_net's tables, so no header contains the secret.
create or replace function supaqueue.post(body jsonb)
returns bigint
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  problem record := supaqueue.dispatch_problem();
  secrets jsonb;
  webhook_id text := 'msg_' || replace(supaqueue.new_id()::text, '-', '');
  webhook_timestamp text := floor(extract(epoch from clock_timestamp()))::bigint::text;
begin
  if problem.problem is not null then
    raise exception '%', problem.problem using errcode = 'object_not_in_prerequisite_state', hint = problem.remedy;
  end if;
  select jsonb_object_agg(s.name, s.decrypted_secret) into secrets
  from vault.decrypted_secrets s
  where s.name in ('supaqueue_secret', 'supaqueue_url', 'supaqueue_anon_key');
  return net.http_post(
    url := rtrim(secrets ->> 'supaqueue_url', '/') || '/functions/v1/supaqueue',
    body := body,
    headers := jsonb_strip_nulls(jsonb_build_object(
      'content-type', 'application/json',
      'webhook-id', webhook_id,
      'webhook-timestamp', webhook_timestamp,
      'webhook-signature', supaqueue.signature(
        supaqueue.signing_key(secrets ->> 'supaqueue_secret'), webhook_id, webhook_timestamp, body::text),
      'traceparent', '00-' || encode(extensions.gen_random_bytes(16), 'hex')
        || '-' || encode(extensions.gen_random_bytes(8), 'hex') || '-01',
      'apikey', secrets ->> 'supaqueue_anon_key'
    )),
    timeout_milliseconds := (supaqueue.settings()).dispatch_timeout_ms
  );
end
$$;
