-- The key in a secret of the form whsec_<base64>, or null where it has
-- another form (Standard Webhooks, "Signature scheme").
create or replace function supaqueue.signing_key(secret text)
returns bytea
language plpgsql
immutable
set search_path = ''
as $$
begin
  if secret !~ '^whsec_[A-Za-z0-9+/]+={0,2}$' then
    return null;
  end if;
  return decode(substring(secret from 7), 'base64');
exception
  when invalid_parameter_value then
    return null;
end
$$;

-- The Standard Webhooks signature of a body: v1,<base64 of the HMAC-SHA256 of "id.timestamp.body">.
create or replace function supaqueue.signature(key bytea, webhook_id text, webhook_timestamp text, body text)
returns text
language sql
immutable
set search_path = ''
as $$
  select 'v1,' || encode(
    extensions.hmac(
      convert_to(webhook_id || '.' || webhook_timestamp || '.' || body, 'UTF8'), key, 'sha256'),
    'base64')
$$;
