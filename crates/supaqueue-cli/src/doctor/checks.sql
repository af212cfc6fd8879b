-- The checks of the doctor that the database answers, each on its own: what one of them cannot look at
-- is a finding itself. What keeps jobs from running is told by the view supaqueue.problem; here is
-- what only slows them down, or will keep them from running one day.
--
-- Returns the findings, and the queues, whose functions the program looks at. Works in any database,
-- also one that is read-only, and waits for no lock for long.
set transaction read write;
create or replace function pg_temp.supaqueue_doctor() returns jsonb language plpgsql set search_path = '' set lock_timeout = '2s' as $$
declare
  -- The check, and what it says if it finds nothing.
  subject text;
  well text;
  found jsonb;
  findings jsonb := '[]';
  queues jsonb := '[]';
  is_installed boolean := to_regproc('supaqueue.problems') is not null;
  has_cron boolean := to_regclass('cron.job') is not null;
  -- What service_role calls through the API.
  entrances constant text[] := array[
    'public.end_current_job', 'public.end_current_jobs', 'public.supaqueue_pulse', 'public.supaqueue_enqueue',
    'public.supaqueue_enqueue_many'
  ];
begin
  foreach subject in array array[
    'extension', 'problem', 'tick', 'jobs', 'pg_net', 'API', 'privileges', 'settings', 'transactions', 'foreign keys', 'targets'
  ] loop
    found := null;
    well := null;
    continue when not is_installed and subject not in ('extension', 'pg_net');
    begin
      case subject

        when 'extension' then
          select jsonb_agg(
            case
              when e.name = 'pg_net' and e.schema = 'public' then jsonb_build_object(
                'severity', 'warning',
                'message', 'pg_net is in the schema public, which the advisor of the dashboard warns about (0014)',
                'remedy', 'Run: drop extension pg_net; create extension pg_net with schema extensions; Requests that have not been sent are lost; Supaqueue sends its own again.')
              when e.is_there then jsonb_build_object(
                'severity', 'ok', 'message', e.name || coalesce(' ' || e.version || ', in the schema ' || e.schema, ', emulated'))
              else jsonb_build_object('severity', 'skipped', 'message', e.name || ' is missing; supaqueue install creates it')
            end order by e.name)
          into found
          from (
            select n.name, x.extversion as version, x.extnamespace::regnamespace::text as schema,
              x.oid is not null or to_regproc(n.function) is not null as is_there
            from (values
              ('pg_net', 'net.http_post'), ('supabase_vault', 'vault.create_secret'), ('pg_cron', 'cron.alter_job'), ('pgcrypto', null)
            ) as n (name, function)
            left join pg_catalog.pg_extension x on x.extname = n.name
          ) e
          -- Once Supaqueue is installed, problem names those that are missing.
          where e.is_there or not is_installed;

        when 'problem' then
          well := 'nothing keeps jobs from running';
          execute $sql$
            select jsonb_agg(jsonb_build_object(
              'severity', 'failed',
              'message', coalesce('queue ' || p.queue || ': ', '') || coalesce('job ' || p.job || ': ', '') || p.problem
                || case when p.number > 1 then format(' (and %s more like it)', p.number - 1) else '' end,
              'remedy', p.remedy) order by p.place)
            from (
              select p.*, row_number() over alike as rank, count(*) over (partition by p.queue, p.remedy) as number
              from supaqueue.problems() with ordinality as p (queue, job, problem, remedy, place)
              window alike as (partition by p.queue, p.remedy order by p.place)
            ) p
            where p.rank = 1
          $sql$ into found;

        when 'tick' then
          -- Why it does not run is a problem.
          if has_cron then
            execute $sql$
              select jsonb_build_array(jsonb_build_object(
                'severity', 'ok', 'message', format('scheduled (%s), %s', j.schedule,
                  coalesce('last ran ' || (select supaqueue.ago(t.started_at) from supaqueue.last_tick t), 'about to run for the first time'))))
              from cron.job j
              cross join supaqueue.tick_problem() p
              where j.jobname = 'supaqueue_tick' and p.problem is null
              order by j.active desc
              limit 1
            $sql$ into found;
          else
            found := jsonb_build_array(jsonb_build_object(
              'severity', 'warning',
              'message', 'pg_cron is missing: retries and scheduled jobs start only when their queue is next used',
              'remedy', 'Run: create extension pg_cron; select supaqueue.schedule_tick();'));
          end if;

        when 'jobs' then
          well := 'no jobs, calls or workers are stuck';
          execute $sql$
            select jsonb_agg(jsonb_build_object('severity', s.severity, 'message', s.message, 'remedy', s.remedy))
            from (
              select 'failed' as severity, format('calls more than a minute past their lease: %s; workers locked without a call: %s', o.overdue, o.without_call) as message,
                'The tick recovers them: see what is said about the tick, or run: call supaqueue.tick();' as remedy
              from (
                select
                  (
                    select count(*) from supaqueue.current_job c
                    left join supaqueue.run r on r.id = c.run
                    where coalesce(c.lease_until, r.lease_until, '-infinity') < clock_timestamp() - interval '1 minute'
                  ) as overdue,
                  (
                    select count(*) from supaqueue.worker w
                    where w.locked and not exists (select from supaqueue.current_job c where c.worker = w.id)
                  ) as without_call
              ) o
              where o.overdue > 0 or o.without_call > 0
              union all
              select 'warning', format('jobs due for more than a minute despite free workers: %s%s', count(*), case when count(*) = 1000 then ' or more' end),
                'The tick starts them: see what is said about the tick, or run: call supaqueue.tick();'
              from (
                select from supaqueue.ready_job r
                join supaqueue.queue q on q.id = r.queue
                where r.run_at < clock_timestamp() - interval '1 minute' and not q.is_paused
                  and exists (select from supaqueue.worker w where w.queue = q.id and not w.locked)
                limit 1000
              ) due
              having count(*) > 0
              union all
              (select distinct 'failed', j.errors -> -1 ->> 'message', 'See what is said about the function.'
              from (
                select c.job from supaqueue.current_job c
                union all
                (select h.job from supaqueue.held_job h where h.until < 'infinity' limit 1000)
              ) living
              join supaqueue.job j on j.id = living.job
              where j.errors -> -1 ->> 'message' like 'not acknowledged%'
              limit 5)
            ) s
          $sql$ into found;

        when 'pg_net' then
          if to_regclass('net.http_request_queue') is null then
            continue;
          end if;
          execute 'select count(*) from (select from net.http_request_queue limit 100001) w' into well;
          if well::bigint > 5000 then
            found := jsonb_build_array(jsonb_build_object(
              'severity', 'warning',
              'message', format('%s requests wait in its queue, and dispatches wait behind them', case when well::bigint > 100000 then 'more than 100000' else well end),
              'remedy', 'See where they go: select url, count(*) from net.http_request_queue group by url; If there are not fewer after a minute, run: select net.worker_restart();'));
          end if;
          well := 'requests in its queue: ' || well;
          if to_regprocedure('net.check_worker_is_up()') is not null then
            begin
              execute 'select net.check_worker_is_up()';
            exception
              when others then
                found := coalesce(found, '[]') || jsonb_build_object(
                  'severity', 'failed', 'message', sqlerrm || ': nothing is sent to the function',
                  'remedy', 'Run: select net.worker_restart(); If that does not help, restart the database.');
            end;
          end if;

        when 'API' then
          well := 'no function runs before its requests (pgrst.db_pre_request)';
          execute $sql$
            select jsonb_agg(case s.name
              when 'pgrst.db_pre_request' then jsonb_build_object(
                'severity', 'ok', 'message', format('before each request it calls %s (pgrst.db_pre_request); the self-test shows whether that lets the function report', s.value))
              else jsonb_build_object(
                'severity', 'failed',
                'message', format('the schema public is not exposed, so that the function cannot report: pgrst.db_schemas of %s is %s', s.place, s.value),
                'remedy', format('Run: alter %s set pgrst.db_schemas = %L; notify pgrst, ''reload config'';', s.place, s.value || ', public'))
              end)
            from supaqueue.settings_of_roles() s
            where s.name = 'pgrst.db_pre_request' and s.value <> ''
              or s.name = 'pgrst.db_schemas' and 'public' <> all (regexp_split_to_array(s.value, '[\s,]+'))
          $sql$ into found;

        when 'privileges' then
          well := 'only postgres and service_role have access';
          select jsonb_agg(jsonb_build_object('severity', w.severity, 'message', w.message, 'remedy', w.remedy))
          into found
          from (
            select 'warning' as severity, format('%s may use %s', r.rolname, c.oid::regclass) as message,
              format('If you did not mean it, run: revoke all on %s from public, anon, authenticated;', c.oid::regclass) as remedy
            from pg_catalog.pg_class c
            cross join pg_catalog.pg_roles r
            where c.relnamespace = to_regnamespace('supaqueue') and c.relkind in ('r', 'v', 'p')
              and r.rolname in ('anon', 'authenticated')
              and has_table_privilege(r.oid, c.oid, 'select, insert, update, delete, truncate')
              and has_schema_privilege(r.oid, c.relnamespace, 'usage')
            union all
            select case when p.pronamespace = 'public'::regnamespace then 'failed' else 'warning' end,
              format('%s may execute %s', r.rolname, p.oid::regprocedure),
              format('%s: revoke execute on routine %s from public, anon, authenticated;',
                case when p.pronamespace = 'public'::regnamespace then 'Run' else 'If you did not mean it, run' end, p.oid::regprocedure)
            from pg_catalog.pg_proc p
            cross join pg_catalog.pg_roles r
            where (p.pronamespace = to_regnamespace('supaqueue') or p.oid in (select to_regproc(e) from unnest(entrances) e))
              and r.rolname in ('anon', 'authenticated')
              and has_function_privilege(r.oid, p.oid, 'execute')
              and has_schema_privilege(r.oid, p.pronamespace, 'usage')
              -- The default of job.id.
              and p.oid is distinct from to_regproc('supaqueue.new_id')
            union all
            select 'failed', 'row level security is off for ' || c.oid::regclass, format('Run: alter table %s enable row level security;', c.oid::regclass)
            from pg_catalog.pg_class c
            where c.relnamespace = to_regnamespace('supaqueue') and c.relkind in ('r', 'p') and not c.relrowsecurity
            union all
            select 'failed', 'service_role may not execute ' || p.oid::regprocedure || ', so that the function cannot report',
              format('Run: grant execute on routine %s to service_role;', p.oid::regprocedure)
            from pg_catalog.pg_proc p
            join pg_catalog.pg_roles r on r.rolname = 'service_role'
            where p.oid in (select to_regproc(e) from unnest(entrances) e)
              and not has_function_privilege(r.oid, p.oid, 'execute')
            union all
            select 'failed', f.name || ' is missing', 'Run `supaqueue remove --keep-data` and then `supaqueue install`.'
            from unnest(entrances) as f (name)
            where to_regproc(f.name) is null
          ) w;

        when 'settings' then
          well := 'none of the database or its roles is in the way';
          execute $sql$
            select jsonb_agg(jsonb_build_object(
              'severity', 'warning',
              'message', format('%s of %s is %s: %s', s.name, s.place, s.value, case s.name
                when 'default_transaction_isolation' then 'jobs that are inserted under it start at the next tick, not at once'
                when 'lock_timeout' then 'longer waits for a lock fail, and with them reports, starts and ticks, which are then repeated'
                else 'longer statements fail, such as reports and ticks, which are then repeated'
              end),
              'remedy', format('Run: alter %s %s; It holds for new connections.', s.place, case s.name
                when 'default_transaction_isolation' then 'reset default_transaction_isolation'
                else format('set %s = %L', s.name, case s.name when 'lock_timeout' then '8s' else '2min' end)
              end)))
            from (
              select s.*, extract(epoch from case
                when s.name in ('lock_timeout', 'statement_timeout') then (s.value || case when s.value ~ '^\d+$' then 'ms' else '' end)::interval
              end) as seconds
              from supaqueue.settings_of_roles() s
            ) s
            where s.name = 'default_transaction_isolation' and s.value not in ('read committed', 'read uncommitted')
              or s.name = 'lock_timeout' and s.seconds > 0 and s.seconds < 1
              or s.name = 'statement_timeout' and s.seconds > 0 and s.seconds < 5
          $sql$ into found;

        when 'transactions' then
          well := 'none has been open for an hour';
          select jsonb_agg(jsonb_build_object(
            'severity', 'warning',
            'message', format('%s has been open since %s UTC, so that vacuum cannot remove what changed since, and everything slows down', t.name, to_char(t.since at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS')),
            'remedy', t.remedy) order by t.since)
          into found
          from (
            select
              format('the transaction of process %s (%s, %s, %s: %s)', a.pid, a.usename, coalesce(nullif(a.application_name, ''), 'no application_name'), a.state,
                left(regexp_replace(a.query, '\s+', ' ', 'g'), 80)) as name,
              a.xact_start as since, format('End it. If its program does not, run: select pg_terminate_backend(%s);', a.pid) as remedy
            from pg_catalog.pg_stat_activity a
            where a.datname = current_database() and (a.backend_xmin is not null or a.backend_xid is not null)
              and a.backend_type = 'client backend'
            union all
            select format('the prepared transaction %s (%s)', p.gid, p.owner), p.prepared, format('Run: rollback prepared %L;', p.gid)
            from pg_catalog.pg_prepared_xacts p
            where p.database = current_database()
          ) t
          where t.since < clock_timestamp() - interval '1 hour';

        when 'foreign keys' then
          well := 'none keeps finished jobs from being deleted';
          select jsonb_agg(jsonb_build_object(
            'severity', 'warning',
            'message', format('%s of %s keeps the jobs that it refers to from being deleted', c.conname, c.conrelid::regclass),
            'remedy', format('Run: alter table %s drop constraint %I, add constraint %2$I %s; %s', c.conrelid::regclass, c.conname,
              regexp_replace(
                regexp_replace(pg_get_constraintdef(c.oid), ' ON DELETE (RESTRICT|SET DEFAULT( \([^)]*\))?)', ''),
                '( DEFERRABLE.*| NOT VALID)?$',
                case when n.can_be_null then ' on delete set null\1' else ' on delete cascade\1' end),
              case when n.can_be_null then 'Or "on delete cascade", which deletes its rows with the job.' else 'That deletes its rows with the job. To keep them, drop the constraint.' end)))
          into found
          from pg_catalog.pg_constraint c
          cross join lateral (
            select not bool_or(a.attnotnull) as can_be_null from pg_catalog.pg_attribute a where a.attrelid = c.conrelid and a.attnum = any (c.conkey)
          ) n
          where c.contype = 'f' and c.confrelid = to_regclass('supaqueue.job') and c.confdeltype in ('a', 'r', 'd')
            and c.conrelid <> all (array(select o.oid from pg_catalog.pg_class o where o.relnamespace = to_regnamespace('supaqueue')));

        when 'targets' then
          execute $sql$
            select coalesce(jsonb_agg(jsonb_build_object(
              'name', q.name, 'function', q.edge_function_name, 'auth', q.auth,
              'has_header', exists (select from jsonb_object_keys(coalesce(q.default_headers, '{}')) h where lower(h) = 'authorization'),
              'timeout_ms', greatest(q.timeout_ms, (
                select max(j.timeout_ms)
                from (
                  (select r.job from supaqueue.ready_job r where r.queue = q.id limit 1000)
                  union all
                  (select h.job from supaqueue.held_job h where h.queue = q.id limit 1000)
                ) w
                join supaqueue.job j on j.id = w.job
              ))) order by q.name), '[]')
            from (select * from supaqueue.queue q order by q.name limit 1000) q
            where q.name not like 'supaqueue\_self\_test\_%'
          $sql$ into queues;
          found := '[]';
      end case;
    exception
      when others then
        found := jsonb_build_array(jsonb_build_object(
          'severity', 'failed', 'message', 'could not be checked: ' || sqlerrm,
          'remedy', 'If a lock is in the way, see what is said about transactions. Run this again.'));
    end;
    if found is null and well is not null then
      found := jsonb_build_array(jsonb_build_object('severity', 'ok', 'message', well));
    end if;
    findings := findings || coalesce((
      select jsonb_agg(jsonb_build_object('subject', subject) || f) from jsonb_array_elements(found) f
    ), '[]');
  end loop;
  return jsonb_build_object('findings', findings, 'queues', queues);
end
$$;
select pg_temp.supaqueue_doctor() as result;
