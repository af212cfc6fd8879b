-- Removes everything but the tables and the functions in their defaults and constraints. Nothing
-- runs until `supaqueue install` restores the rest.
do $$
begin
  if to_regclass('cron.job') is not null then
    perform cron.unschedule(j.jobid) from cron.job j where j.jobname = 'supaqueue_tick';
  end if;
  if to_regclass('vault.secrets') is not null then
    delete from vault.secrets s where s.name in (
      'supaqueue_secret', 'supaqueue_secret_next', 'supaqueue_secret_previous', 'supaqueue_url', 'supaqueue_anon_key');
  end if;
end
$$;

drop function if exists public.end_current_job(uuid, boolean, boolean, jsonb, jsonb);
drop function if exists public.end_current_jobs(uuid, jsonb);
drop function if exists public.supaqueue_pulse(uuid, integer, jsonb);
drop function if exists public.supaqueue_enqueue(text, jsonb, jsonb);
drop function if exists public.supaqueue_enqueue_many(text, jsonb);

do $$
declare
  it record;
  dropped boolean := true;
begin
  for it in
    select c.oid::regclass as view from pg_catalog.pg_class c
    where c.relnamespace = to_regnamespace('supaqueue') and c.relkind = 'v'
  loop
    execute format('drop view if exists %s cascade', it.view);
  end loop;
  for it in
    select t.tgname, t.tgrelid::regclass as relation
    from pg_catalog.pg_trigger t
    join pg_catalog.pg_class c on c.oid = t.tgrelid
    join pg_catalog.pg_proc p on p.oid = t.tgfoid
    where not t.tgisinternal and c.relnamespace = to_regnamespace('supaqueue') and p.pronamespace = c.relnamespace
  loop
    execute format('drop trigger %I on %s', it.tgname, it.relation);
  end loop;
  while dropped loop
    dropped := false;
    for it in
      select p.oid::regprocedure as function from pg_catalog.pg_proc p
      where p.pronamespace = to_regnamespace('supaqueue')
    loop
      begin
        execute format('drop routine %s', it.function);
        dropped := true;
      exception
        when dependent_objects_still_exist then null;
      end;
    end loop;
  end loop;
end
$$;
