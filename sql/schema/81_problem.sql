-- Why the tick does not run, or null.
create or replace function supaqueue.tick_problem(out problem text, out remedy text)
language plpgsql
stable
set search_path = ''
as $$
declare
  last supaqueue.last_tick;
  job record;
  alive_at timestamptz;
  when_it_ran text;
begin
  select t.* into last from supaqueue.last_tick t;
  -- A new installation and a server that has just started get the time for a first tick.
  alive_at := greatest(last.started_at, pg_postmaster_start_time(), (select max(v.applied_at) from supaqueue.version v));
  when_it_ran := coalesce('it last ran ' || supaqueue.ago(last.started_at), 'it has never run');
  if to_regclass('cron.job') is null then
    if alive_at < clock_timestamp() - interval '150 seconds' then
      problem := format('the tick does not run (%s), and the extension pg_cron is not installed', when_it_ran);
      remedy := 'Run: create extension pg_cron; select supaqueue.schedule_tick();';
    end if;
    return;
  end if;
  select j.active, j.schedule, j.command into job
  from cron.job j
  where j.jobname = 'supaqueue_tick'
  order by j.active and j.command ~ 'supaqueue\.tick(_step)?\(' desc
  limit 1;
  if not found then
    problem := format('the tick is not scheduled; %s', when_it_ran);
    remedy := 'Run: select supaqueue.schedule_tick();';
  elsif not job.active then
    problem := format('the tick is inactive in pg_cron; %s', when_it_ran);
    remedy := 'Run: select supaqueue.schedule_tick();';
  elsif job.command !~ 'supaqueue\.tick(_step)?\(' then
    problem := format('the job supaqueue_tick of pg_cron runs something else (%s)', left(job.command, 100));
    remedy := 'Run: select supaqueue.schedule_tick();';
  elsif alive_at < clock_timestamp() - interval '150 seconds'
    or alive_at < clock_timestamp() - interval '30 seconds' and job.schedule like '%second%'
  then
    problem := format('the tick is scheduled (%s) and does not run: %s', job.schedule, when_it_ran);
    remedy := 'pg_cron''s scheduler may have stopped: restart the database. See also: select * from cron.job_run_details order by runid desc limit 5;';
  elsif coalesce(last.finished_at, (select max(v.applied_at) from supaqueue.version v)) < last.started_at - interval '5 minutes' then
    problem := 'the tick starts and does not end: ' || coalesce('the last complete one ended ' || supaqueue.ago(last.finished_at), 'none has ever ended');
    remedy := 'See what it waits for: select pid, wait_event, query from pg_stat_activity where query like ''%supaqueue.tick%'';';
  end if;
end
$$;

create or replace function supaqueue.ago(at timestamptz)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return case
    when clock_timestamp() - at < interval '2 minutes' then ceil(extract(epoch from clock_timestamp() - at)) || ' s ago'
    else 'at ' || to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
  end;
end
$$;

-- The rows of the view problem. Looks at one thing after the other, and what it cannot look at is a
-- problem itself.
create or replace function supaqueue.problems()
returns table (queue text, job uuid, problem text, remedy text)
language plpgsql
security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  subject text;
begin
  foreach subject in array array[
    'the Vault and pg_net', 'the settings', 'the tick', 'the locks', 'unfinished work', 'the schedules', 'the workers',
    'the calls', 'the answers'
  ] loop
    begin
      case subject
        when 'the Vault and pg_net' then
          return query
          select null::text, null::uuid, p.problem, p.remedy from supaqueue.dispatch_problem() p where p.problem is not null;
        when 'the settings' then
          return query
          select null::text, null::uuid, p.problem, p.remedy from supaqueue.setting_problems() p;
        when 'the tick' then
          return query
          select null::text, null::uuid, p.problem, p.remedy from supaqueue.tick_problem() p where p.problem is not null;
        when 'the locks' then
          return query
          select null::text, null::uuid, p.problem, p.remedy from supaqueue.lock_problems() p;
        when 'unfinished work' then
          return query
          select
            q.name, u.job,
            case when s.id is not null then format('the schedule %s ', s.name) else '' end || format('cannot %s: %s (failing since %s; tries: %s, the last one %s)',
              case u.step
                when 'start' then case when u.job is null then 'start jobs' else 'start this job' end
                when 'call' then 'call the target function for this job'
                when 'settle' then 'settle this job, whose call has ended'
                when 'on end' then format('insert the job for the end of this job into the queue %s', (select e.name from supaqueue.queue e where e.id = q.on_end))
                when 'take back' then 'take back lost calls'
                when 'admit' then 'admit jobs that have become due'
                when 'look after' then 'look after the queue'
                when 'schedule' then 'insert its jobs'
                when 'schedules' then 'insert the jobs of schedules'
                when 'operation' then format('go on with operation %s (%s)', o.id, o.action)
                when 'operate' then 'do operations'
                when 'end runs' then 'see which runs of the supaqueue function are over'
                when 'check' then 'check where jobs are'
                when 'pipelines' then 'go on with pipelines'
                when 'release' then case when u.job is null then 'release keys' else 'release the key of this job' end
                when 'count' then 'count the jobs that have ended'
                when 'delete' then case when u.job is null then 'delete finished jobs' else 'delete this job' end
                when 'purge' then 'delete the history of the tick'
                else u.step
              end,
              u.message, to_char(u.since at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'), u.tries, supaqueue.ago(u.tried_at)),
            case
              when u.step = 'delete' and u.sqlstate = '23503' then
                'A foreign key refers to the job. Declare it with "on delete cascade" or "on delete set null", or delete the rows that refer to it.'
              when u.sqlstate = '55P03' then
                'Another transaction holds a lock. Find it: select pid, state, query from pg_stat_activity where state like ''idle in transaction%'';'
              when u.sqlstate = '42501' then
                'A privilege is missing: grant it to the role postgres. It is tried again automatically.'
              when u.sqlstate = '42725' then
                'Another function that was added fits the call as well: drop it, or give it another name.'
              when u.step = 'schedule' and u.sqlstate = '22023' then
                format('Change what the message names: update supaqueue.schedule set timezone = ''Europe/Berlin'' where name = %L; for example. It is tried again automatically.', s.name)
              when u.step = 'schedule' then
                'Look for a trigger or a constraint of yours on supaqueue.job that raises this. It is tried again automatically.'
              when u.step = 'call' then
                'Do what the message says. It is tried again automatically, every 10 minutes at least.'
              when u.step = 'operation' then
                format('Do what the message says; it is tried again automatically. Or stop it: update supaqueue.operation set status = ''stopped'' where id = %L;', o.id)
              when u.step = 'on end' then
                format('Look for a trigger or a constraint of yours on supaqueue.job that raises this. It is tried again automatically. To do without: update supaqueue.queue set on_end = null where name = %L;', q.name)
              when u.job is not null then
                'Look for a trigger or a constraint of yours on supaqueue.job that raises this. It is tried again automatically.'
              else format('It is tried again automatically. If the message does not help, run %s.', supaqueue.command('doctor'))
            end
          from supaqueue.unfinished u
          left join supaqueue.schedule s on s.id = u.queue and u.step = 'schedule'
          left join supaqueue.operation o on o.id = u.queue and u.step = 'operation' and o.status = 'running'
          left join supaqueue.queue q on q.id = coalesce(s.queue, u.queue)
          where u.message is not null and (u.step <> 'schedule' or s.id is not null) and (u.step <> 'operation' or o.id is not null)
            -- While the target is called, it can be.
            and (u.step <> 'call' or (supaqueue.call_of(u.job)).state is distinct from 'started')
            -- That nothing can be sent is said once, above.
            and (u.sqlstate <> '55000' or (supaqueue.dispatch_problem()).problem is null)
            -- Conflicts are normal unless they last.
            and (u.sqlstate not in ('40001', '40P01', '55P03') or u.since < clock_timestamp() - interval '30 seconds')
          order by u.since
          limit 100;
        when 'the schedules' then
          return query
          select
            q.name, s.last_job,
            format('the schedule %s %s', s.name, case
              when s.is_paused then 'is paused: ' || s.paused_because
              when s.next_at is null then 'has no next time'
              else format('is due since %s, and another transaction has locked it', to_char(s.next_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'))
            end),
            case
              when s.is_paused then format('When the cause is gone, run: update supaqueue.schedule set is_paused = false where name = %L;', s.name)
              when s.next_at is null then format('Run: update supaqueue.schedule set timezone = timezone where name = %L;', s.name)
              else 'Find it: select pid, state, query from pg_stat_activity where state like ''idle in transaction%'';'
            end
          from supaqueue.schedule s
          join supaqueue.queue q on q.id = s.queue
          where s.paused_because is not null
            or s.next_at is null and not s.is_paused
            -- The last tick that ended has come to all that were due long before.
            or s.next_at < (select t.finished_at - interval '1 minute' from supaqueue.last_tick t)
              and not exists (select from supaqueue.unfinished u where u.queue = s.id and u.step = 'schedule')
          order by s.name
          limit 100;
        when 'the workers' then
          return query
          select q.name, null::uuid, 'the queue has no workers', format('Run: select supaqueue.set_workers(%L, 1);', q.name)
          from supaqueue.queue q
          where not exists (select from supaqueue.worker w where w.queue = q.id)
            and exists (select from supaqueue.ready_job r where r.queue = q.id);
        when 'the calls' then
          return query
          select
            q.name, c.job,
            format('sent to the supaqueue function %s times without being acknowledged; the last request: %s', c.dispatches, r.outcome),
            case r.outcome
              when 'pg_net has not sent it' then
                'pg_net is busy or has stopped. See: select url, count(*) from net.http_request_queue group by url; If that does not shrink, run: select net.worker_restart();'
              else
                format('See the logs of the function, and run %s. If it was answered with 202, the function may report to another project: compare the Vault''s supaqueue_url with the URL of this one.',
                  supaqueue.command('doctor'))
            end
          from supaqueue.current_job c
          join supaqueue.queue q on q.id = c.queue
          cross join lateral supaqueue.request_outcome(c.request_id, c.created_at) as r (outcome)
          where c.state = 'sent' and c.dispatches > 1
          order by c.id
          limit 100;
        when 'the answers' then
          return query
          select
            q.name, last.id, 'the target function answers with 401',
            format('If the answer is the gateway''s (see errors), set verify_jwt = false for it in supabase/config.toml and deploy it to this very project (`supabase functions deploy %s --project-ref <ref>`), or give the queue another auth.', q.edge_function_name)
          from supaqueue.queue q
          cross join lateral (
            select j.id, j.http_status, j.finished_at from supaqueue.job j
            where j.queue = q.id and j.ended_as = 'failed' and j.finished_at > now() - interval '1 hour'
            order by j.finished_at desc
            limit 1
          ) last
          where last.http_status = 401;
      end case;
    exception
      when others then
        return query
        select null::text, null::uuid, format('could not look at %s: %s', subject, sqlerrm), format('Run %s.', supaqueue.command('doctor'));
    end;
  end loop;
end
$$;

create or replace view supaqueue.problem with (security_invoker = true) as
select * from supaqueue.problems();
comment on view supaqueue.problem is 'Why jobs are not running, with remedies; empty if all is well';
