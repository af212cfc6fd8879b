-- Everything Supaqueue keeps in a database lives in one schema, out of the
-- API's reach: only postgres and service_role may use it.

create schema supaqueue;
comment on schema supaqueue is 'Supaqueue: queues of calls to edge functions';

-- pgcrypto signs what is sent to the supaqueue function.
create schema if not exists extensions;
create extension if not exists pgcrypto with schema extensions;

-- The others that it needs, so that a database that only migrations have built has them, too. The view problem names
-- one that is missing.
do $$
declare
  missing record;
begin
  for missing in
    select e.name, e.sql
    from (values
      ('pg_net', 'create extension pg_net with schema extensions', to_regnamespace('net')),
      ('supabase_vault', 'create extension supabase_vault cascade', to_regnamespace('vault')),
      ('pg_cron', 'create extension pg_cron', to_regnamespace('cron'))
    ) as e (name, sql, schema)
    join pg_catalog.pg_available_extensions a on a.name = e.name and a.installed_version is null
    where e.schema is null
  loop
    begin
      execute missing.sql;
    exception
      when others then
        raise warning 'cannot create the extension %: %', missing.name, sqlerrm;
    end;
  end loop;
end
$$;
