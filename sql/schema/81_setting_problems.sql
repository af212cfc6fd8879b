-- The settings of the database, and of the roles that Supaqueue's code runs as, under which nothing runs.
create or replace function supaqueue.setting_problems()
returns table (problem text, remedy text)
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
  select
    format('%s of %s is %s: %s', s.name, s.place, s.value, case s.name
      when 'session_replication_role' then 'no trigger fires, so no job starts'
      else 'no job can start or end'
    end),
    format('Run: begin; set transaction read write; alter %s reset %s; commit; It holds for new connections, so restart the database.', s.place, s.name)
  from supaqueue.settings_of_roles() s
  where s.name = 'session_replication_role' and s.value = 'replica'
    or s.name = 'default_transaction_read_only' and s.value in ('on', 'true', 'yes', '1');
  -- Not for a session that wants to be read-only itself.
  if not found and current_setting('default_transaction_read_only') = 'on' and exists (
    select from pg_catalog.pg_settings s where s.name = 'default_transaction_read_only' and s.source not in ('client', 'session')
  ) then
    problem := 'the database is read-only, as the platform makes it when the disk is full';
    remedy := 'Free space or enlarge the disk. See the database settings of the project.';
    return next;
  end if;
end
$$;

-- What `alter database` and `alter role` have set for the roles that Supaqueue's code runs as; place is
-- what stands between alter and set.
create or replace function supaqueue.settings_of_roles()
returns table (place text, name text, value text)
language sql
stable
set search_path = ''
as $$
  select
    case
      when s.setrole = 0 and s.setdatabase = 0 then 'role all'
      when s.setrole = 0 then format('database %I', current_database())
      else format('role %I%s', r.rolname, case when s.setdatabase <> 0 then format(' in database %I', current_database()) end)
    end,
    split_part(c.setting, '=', 1), substring(c.setting from '=(.*)')
  from pg_catalog.pg_db_role_setting s
  cross join unnest(s.setconfig) as c (setting)
  left join pg_catalog.pg_roles r on r.oid = s.setrole
  where s.setdatabase in (0, (select d.oid from pg_catalog.pg_database d where d.datname = current_database()))
    and (s.setrole = 0 or r.rolname in ('postgres', 'authenticator', 'service_role'))
$$;
