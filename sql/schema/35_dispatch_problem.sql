-- Why nothing can be sent to the supaqueue function now, or null. Never fails.
create or replace function supaqueue.dispatch_problem(out problem text, out remedy text)
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  secret text;
  url text;
begin
  if to_regprocedure('net.http_post(text,jsonb,jsonb,jsonb,integer)') is null then
    problem := 'the extension pg_net is not installed';
    remedy := 'Run: create extension pg_net with schema extensions;';
    return;
  elsif to_regprocedure('extensions.hmac(bytea,bytea,text)') is null then
    problem := 'the extension pgcrypto is not in the schema extensions';
    remedy := case
      when exists (select from pg_catalog.pg_extension e where e.extname = 'pgcrypto')
      then 'Run: alter extension pgcrypto set schema extensions;'
      else 'Run: create extension pgcrypto with schema extensions;'
    end;
    return;
  elsif to_regclass('vault.decrypted_secrets') is null then
    problem := 'the extension supabase_vault is not installed';
    remedy := 'Run: create extension supabase_vault; and then ' || supaqueue.command('install');
    return;
  end if;

  select
    max(s.decrypted_secret) filter (where s.name = 'supaqueue_secret'),
    max(s.decrypted_secret) filter (where s.name = 'supaqueue_url')
  into secret, url
  from vault.decrypted_secrets s
  where s.name in ('supaqueue_secret', 'supaqueue_url') or s.name = 'supaqueue_anon_key' and s.decrypted_secret is not null;

  if secret is null then
    problem := 'the Vault of this database has no secret named supaqueue_secret';
    remedy := 'Run ' || supaqueue.command('install') || ': it stores one in the Vault and in the function''s environment.';
  elsif supaqueue.signing_key(secret) is null then
    problem := 'the Vault''s supaqueue_secret is not a key of the form whsec_<base64>';
    remedy := 'Run ' || supaqueue.command('rotate-secret') || ', or store the value of SUPAQUEUE_SECRET with vault.update_secret.';
  elsif url is null then
    problem := 'the Vault of this database has no secret named supaqueue_url';
    remedy := 'Run, with the URL of this very project or preview branch: select vault.create_secret(''https://<ref>.supabase.co'', ''supaqueue_url'');';
  elsif url !~ '^https?://[^/?#\s]+/?$' then
    problem := 'the Vault''s supaqueue_url is not a URL of the form https://host';
    remedy := 'Change it with vault.update_secret to the project''s URL, without a path.';
  end if;
exception
  when lock_not_available then
    problem := 'the secrets in the Vault cannot be read: another transaction has locked them';
    remedy := 'Find it: select l.pid, a.query from pg_locks l join pg_stat_activity a using (pid) where l.relation = ''vault.secrets''::regclass;';
  when others then
    problem := 'the secrets in the Vault cannot be read: ' || sqlerrm;
    remedy := 'If they were encrypted with the key of another project (a restore, a branch): run ' || supaqueue.command('install') || ', which replaces them. By hand: delete from vault.secrets where name like ''supaqueue_%'';';
end
$$;
