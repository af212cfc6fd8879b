-- Returns what a database contains of Supaqueue. Works even if all of it is missing, and in a database that
-- is read-only.
set transaction read write;
create or replace function pg_temp.supaqueue_state() returns jsonb language plpgsql set search_path = '' set lock_timeout = '10s' as $$
declare
  state jsonb := jsonb_build_object(
    'now', clock_timestamp(),
    'postgres', current_setting('server_version'),
    'extensions', (
      select coalesce(jsonb_object_agg(e.extname, e.extversion), '{}') from pg_catalog.pg_extension e
      where e.extname in ('pg_net', 'supabase_vault', 'pg_cron', 'pgcrypto')
    ),
    'has_net', to_regprocedure('net.http_post(text,jsonb,jsonb,jsonb,integer)') is not null,
    'has_vault', to_regclass('vault.decrypted_secrets') is not null,
    'has_cron', to_regclass('cron.job') is not null,
    'has_code', to_regproc('supaqueue.take_tables') is not null
  );
  part jsonb;
  name text;
  unreadable jsonb := '{}';
begin
  if to_regclass('supaqueue.version') is not null then
    execute $sql$
      select jsonb_build_object(
        'versions', coalesce(jsonb_object_agg(v.part, v.number order by v.number), '{}'),
        'unfinished', coalesce(jsonb_agg(jsonb_build_array(v.part, v.number)) filter (where v.finished_at is null), '[]'))
      from supaqueue.version v
    $sql$ into part;
    state := state || part;
  end if;
  if to_regclass('vault.decrypted_secrets') is not null then
    -- One by one: the Vault raises an error for a secret that it cannot decrypt.
    for name in execute $sql$
      select s.name from vault.secrets s
      where s.name in (
        'supaqueue_secret', 'supaqueue_secret_next', 'supaqueue_secret_previous', 'supaqueue_url', 'supaqueue_anon_key')
    $sql$ loop
      begin
        execute 'select to_jsonb(s.decrypted_secret) from vault.decrypted_secrets s where s.name = $1'
        into part using name;
        state := state || jsonb_build_object(replace(name, 'supaqueue_', ''), part);
      exception when others then
        unreadable := unreadable || jsonb_build_object(name, sqlerrm);
      end;
    end loop;
    state := state || jsonb_build_object('unreadable', unreadable);
  end if;
  if to_regclass('supaqueue.ready_job') is not null then
    execute $sql$
      select to_jsonb(count(*))
      from (
        (select from supaqueue.ready_job limit 1000)
        union all (select from supaqueue.held_job limit 1000)
        union all (select from supaqueue.current_job)
      ) living
    $sql$ into part;
    state := state || jsonb_build_object('living_jobs', part);
  end if;
  if to_regclass('supaqueue.schedule') is not null then
    execute 'select to_jsonb(count(*)) from supaqueue.schedule where next_at is not null' into part;
    state := state || jsonb_build_object('schedules', part);
  end if;
  if to_regclass('cron.job') is not null then
    execute $sql$
      select to_jsonb(j) from cron.job j where j.jobname = 'supaqueue_tick' order by j.active desc limit 1
    $sql$ into part;
    state := state || jsonb_build_object('tick', part);
  end if;
  return state;
end
$$;
select pg_temp.supaqueue_state() as result;
