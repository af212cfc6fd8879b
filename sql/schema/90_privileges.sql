-- Only postgres and service_role reach any of it. Revoked by name: functions are
-- executable by PUBLIC when they are made, and the platform's default privileges
-- add anon and authenticated in the schema public.
do $$
declare
  role text;
  relation regclass;
begin
  for relation in
    select c.oid from pg_catalog.pg_class c
    where c.relnamespace = 'supaqueue'::regnamespace and c.relkind in ('r', 'p')
  loop
    execute format('alter table %s enable row level security', relation);
  end loop;

  for role in
    select 'public'
    union all
    select r.rolname from pg_catalog.pg_roles r where r.rolname in ('anon', 'authenticated')
  loop
    execute format('revoke all on schema supaqueue from %s', role);
    execute format('revoke all on all tables in schema supaqueue from %s', role);
    execute format('revoke all on all sequences in schema supaqueue from %s', role);
    execute format('revoke all on all functions in schema supaqueue from %s', role);
    execute format('revoke all on function public.end_current_job from %s', role);
  end loop;

  if exists (select from pg_catalog.pg_roles r where r.rolname = 'service_role') then
    grant usage on schema supaqueue to service_role;
    grant select on all tables in schema supaqueue to service_role;
    grant insert, update, delete on supaqueue.queue, supaqueue.worker, supaqueue.job to service_role;
    grant update on supaqueue.setting to service_role;
    grant usage on all sequences in schema supaqueue to service_role;
    grant execute on all functions in schema supaqueue to service_role;
    grant execute on function public.end_current_job to service_role;
  end if;
end
$$;
