-- What every hosted project has and migrations rely on. Nothing listens to the publication here.
do $$
declare
  name text;
begin
  foreach name in array array['supabase_auth_admin', 'supabase_storage_admin', 'dashboard_user'] loop
    begin
      execute format('create role %I nologin', name);
    exception
      -- Roles belong to the cluster: another of its databases may have needed it, just now.
      when duplicate_object or unique_violation then null;
    end;
  end loop;
  for name in
    select e.name
    from pg_catalog.pg_available_extensions e
    where e.name in ('uuid-ossp', 'pg_stat_statements') and e.installed_version is null
  loop
    execute format('create extension %I schema extensions', name);
  end loop;
  if not exists (select from pg_catalog.pg_publication p where p.pubname = 'supabase_realtime') then
    create publication supabase_realtime;
    alter publication supabase_realtime owner to postgres;
  end if;
end
$$;
