-- The roles of a hosted project. Roles belong to the cluster, so this runs once per cluster.
-- `postgres` is not a superuser; `supabase_admin` is.
do $$
declare
  role record;
begin
  for role in
    select *
    from (
      values
        ('postgres', 'login createrole createdb bypassrls replication'),
        ('anon', 'nologin'),
        ('authenticated', 'nologin'),
        ('service_role', 'nologin bypassrls'),
        ('authenticator', 'login noinherit')
    ) as wanted (name, options)
  loop
    if not exists (select from pg_catalog.pg_roles where rolname = role.name) then
      execute format('create role %I %s', role.name, role.options);
    end if;
  end loop;
end
$$;

grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role, authenticator to postgres;
grant pg_monitor, pg_signal_backend to postgres;

-- The timeouts of API sessions. The API applies those of the role that a request assumes.
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
