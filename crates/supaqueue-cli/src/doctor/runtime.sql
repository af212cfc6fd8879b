-- Finds silent faults in a running installation. Works even if parts of it are missing.
create or replace function pg_temp.supaqueue_doctor() returns jsonb language plpgsql set search_path = '' as $$
declare
  -- What service_role calls through the API.
  entrances constant text[] := array[
    'public.end_current_job', 'public.supaqueue_pulse', 'public.supaqueue_enqueue', 'public.supaqueue_enqueue_many'
  ];
  report jsonb := '{}';
  part jsonb;
begin
  if to_regclass('net.http_request_queue') is not null then
    execute 'select to_jsonb(count(*)) from net.http_request_queue' into part;
    report := report || jsonb_build_object('requests', part);
  end if;
  if to_regclass('supaqueue.last_tick') is not null then
    execute $sql$
      select jsonb_build_object(
        'started', extract(epoch from clock_timestamp() - t.started_at)::bigint,
        'finished', extract(epoch from clock_timestamp() - t.finished_at)::bigint)
      from supaqueue.last_tick t
      where t.started_at is not null
      limit 1
    $sql$ into part;
    report := report || jsonb_build_object('last_tick', part);
  end if;
  if to_regnamespace('supaqueue') is not null then
    select coalesce(jsonb_agg(distinct wrong.what), '[]') into part
    from (
      select format('%s may use %s', r.rolname, c.oid::regclass) as what
      from pg_catalog.pg_class c
      cross join pg_catalog.pg_roles r
      where c.relnamespace = to_regnamespace('supaqueue') and c.relkind in ('r', 'v', 'p')
        and r.rolname in ('anon', 'authenticated')
        and has_table_privilege(r.oid, c.oid, 'select, insert, update, delete, truncate')
        and has_schema_privilege(r.oid, c.relnamespace, 'usage')
      union all
      select format('%s may execute %s', r.rolname, p.oid::regprocedure)
      from pg_catalog.pg_proc p
      cross join pg_catalog.pg_roles r
      where (p.pronamespace = to_regnamespace('supaqueue') or p.oid in (select to_regproc(name) from unnest(entrances) as name))
        and r.rolname in ('anon', 'authenticated')
        and has_function_privilege(r.oid, p.oid, 'execute')
        and has_schema_privilege(r.oid, p.pronamespace, 'usage')
      union all
      select 'row level security is off for ' || c.oid::regclass
      from pg_catalog.pg_class c
      where c.relnamespace = to_regnamespace('supaqueue') and c.relkind in ('r', 'p') and not c.relrowsecurity
      union all
      select 'service_role may not execute ' || p.oid::regprocedure
      from pg_catalog.pg_proc p
      join pg_catalog.pg_roles r on r.rolname = 'service_role'
      where p.oid in (select to_regproc(name) from unnest(entrances) as name)
        and not has_function_privilege(r.oid, p.oid, 'execute')
      union all
      select name || ' is missing' from unnest(entrances) as name where to_regproc(name) is null
    ) wrong;
    report := report || jsonb_build_object('privileges', part);
  end if;
  if to_regproc('supaqueue.problems') is not null then
    -- The doctor has a finding of its own about the tick.
    execute $sql$
      select coalesce(jsonb_agg(jsonb_build_object(
        'what', coalesce('queue ' || p.queue || ': ', '') || coalesce('job ' || p.job || ': ', '') || p.problem,
        'remedy', p.remedy)), '[]')
      from (
        select * from supaqueue.problems() p where p.problem !~ '^(the tick |the job supaqueue_tick )' limit 20
      ) p
    $sql$ into part;
    report := report || jsonb_build_object('problems', part);
  end if;
  if to_regclass('supaqueue.queue') is not null then
    execute $sql$
      select coalesce(jsonb_agg(jsonb_build_object(
        'name', q.name, 'function', q.edge_function_name, 'auth', q.auth) order by q.name), '[]')
      from supaqueue.queue q
      where not exists (
        select from jsonb_object_keys(coalesce(q.default_headers, '{}')) h where lower(h) = 'authorization'
      )
    $sql$ into part;
    report := report || jsonb_build_object('queues', part);
  end if;
  if to_regclass('supaqueue.current_job') is not null then
    execute $sql$
      select jsonb_build_object(
        'overdue', (
          select count(*) from supaqueue.current_job c
          left join supaqueue.run r on r.id = c.run
          where coalesce(c.lease_until, r.lease_until, '-infinity') < clock_timestamp() - interval '1 minute'
        ),
        'without_call', (
          select count(*) from supaqueue.worker w
          where w.locked and not exists (select from supaqueue.current_job c where c.worker = w.id)
        ),
        'startable', (
          select count(*) from (
            select from supaqueue.ready_job r
            join supaqueue.queue q on q.id = r.queue
            where r.run_at < clock_timestamp() - interval '1 minute' and not q.is_paused
              and exists (select from supaqueue.worker w where w.queue = q.id and not w.locked)
            limit 1000
          ) job
        ),
        'not_dispatched', (
          select coalesce(jsonb_agg(failed.message), '[]') from (
            select distinct j.errors -> -1 ->> 'message' as message
            from (
              select c.job from supaqueue.current_job c
              union all
              (select h.job from supaqueue.held_job h where h.until < 'infinity' limit 1000)
            ) living
            join supaqueue.job j on j.id = living.job
            where j.errors -> -1 ->> 'message' like 'not acknowledged%'
            limit 5
          ) failed
        ))
    $sql$ into part;
    report := report || jsonb_build_object('jobs', part);
  end if;
  return report;
end
$$;
select pg_temp.supaqueue_doctor() as result;
