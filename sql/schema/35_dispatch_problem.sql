-- Why nothing can be sent to the supaqueue function now, or null.
create or replace function supaqueue.dispatch_problem(out problem text, out remedy text)
language plpgsql
set search_path = ''
as $$
declare
  secret text;
  url text;
begin
  if to_regproc('net.http_post') is null then
    problem := 'the extension pg_net is not installed';
    remedy := 'Run: create extension pg_net;';
    return;
  end if;
  if to_regclass('vault.decrypted_secrets') is null then
    problem := 'the extension supabase_vault is not installed';
    remedy := 'Run: create extension supabase_vault; then `supaqueue install` again.';
    return;
  end if;

  select
    max(s.decrypted_secret) filter (where s.name = 'supaqueue_secret'),
    max(s.decrypted_secret) filter (where s.name = 'supaqueue_url')
  into secret, url
  from vault.decrypted_secrets s
  where s.name in ('supaqueue_secret', 'supaqueue_url');

  if secret is null then
    problem := 'the Vault has no secret named supaqueue_secret';
    remedy := 'Run `supaqueue install` again: it stores one in the Vault and in the function''s environment.';
  elsif supaqueue.signing_key(secret) is null then
    problem := 'the Vault''s supaqueue_secret is not a key of the form whsec_<base64>';
    remedy := 'Run `supaqueue rotate-secret`, or store the value of SUPAQUEUE_SECRET with vault.update_secret.';
  elsif url is null then
    problem := 'the Vault has no secret named supaqueue_url';
    remedy := 'Run: select vault.create_secret(''https://<project>.supabase.co'', ''supaqueue_url'');';
  elsif url !~ '^https?://[^/?#\s]+/?$' then
    problem := 'the Vault''s supaqueue_url is not an address of the form https://host';
    remedy := 'Change it with vault.update_secret to the project''s address, without a path.';
  end if;
end
$$;
