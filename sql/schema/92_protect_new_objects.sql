-- Lets only postgres and service_role use what this version has created.
--
-- Revoked by name: PUBLIC can execute every new function, and the platform's
-- default privileges add anon and authenticated in the schema public.
--
-- Objects that existed before keep their privileges, since users may have granted some to
-- other roles. The transaction's setting supaqueue.known_objects lists them.
--
-- service_role may read all tables. _writes: how it may write to them, such as
-- {"queue": "insert, update"}; _functions: the names of the functions that it may execute.
create or replace function supaqueue.protect_new_objects(_writes jsonb, _functions text[] default '{}')
returns void
language plpgsql
set search_path = ''
as $$
declare
  known text[] := string_to_array(coalesce(current_setting('supaqueue.known_objects', true), ''), ' ');
  outsiders text := 'public' || coalesce((
    select string_agg(', ' || r.rolname, '') from pg_catalog.pg_roles r where r.rolname in ('anon', 'authenticated')
  ), '');
  has_service_role boolean := to_regrole('service_role') is not null;
  object record;
begin
  for object in
    select 'schema' as kind, n.oid, n.nspname::text as name, 'usage' as privileges
    from pg_catalog.pg_namespace n
    where n.nspname = 'supaqueue'
    union all
    select
      case c.relkind when 'S' then 'sequence' else 'table' end, c.oid, c.oid::regclass::text,
      case c.relkind when 'S' then 'usage' else 'select' || coalesce(', ' || (_writes ->> c.relname), '') end
    from pg_catalog.pg_class c
    where c.relnamespace = 'supaqueue'::regnamespace and c.relkind in ('r', 'p', 'v', 'S')
    union all
    select 'routine', p.oid, p.oid::regprocedure::text, case when p.proname = any (_functions) then 'execute' end
    from pg_catalog.pg_proc p
    where p.pronamespace = 'supaqueue'::regnamespace
      or (p.pronamespace = 'public'::regnamespace and p.proname in ('end_current_job', 'end_current_jobs', 'supaqueue_pulse', 'supaqueue_enqueue', 'supaqueue_enqueue_many'))
  loop
    continue when replace(object.kind, 'routine', 'function') || object.oid = any (known);
    execute format('revoke all on %s %s from %s', object.kind, object.name, outsiders);
    if has_service_role and object.privileges is not null then
      execute format('grant %s on %s %s to service_role', object.privileges, object.kind, object.name);
    end if;
  end loop;
end
$$;
