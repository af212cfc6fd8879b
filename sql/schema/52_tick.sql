-- Deletes what pg_cron keeps of each run of the tick, for ever otherwise, after an hour.
create or replace function supaqueue.purge_tick_history()
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  if to_regclass('cron.job_run_details') is not null then
    delete from cron.job_run_details d
    using cron.job j
    where j.jobid = d.jobid and j.jobname = 'supaqueue_tick' and d.end_time < now() - interval '1 hour';
  end if;
end
$$;

-- All periodic work: takes back lost calls, starts what is due, sums up the
-- counts, deletes what is no longer kept. Safe to run at any time, also twice at
-- once; cheap when there is nothing to do.
create or replace function supaqueue.tick()
returns void
language plpgsql
security definer
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  queues uuid[];
begin
  if not pg_try_advisory_xact_lock(hashtextextended('supaqueue.tick', 0)) then
    return;
  end if;
  perform supaqueue.delete_finished_jobs();
  perform supaqueue.sum_up_job_count();

  begin
    perform supaqueue.reclaim(null);
  exception
    when others then
      raise warning 'supaqueue could not take back lost calls now: %', sqlerrm
        using hint = 'The next tick tries again.', errcode = sqlstate;
  end;

  queues := array(
    select q.id
    from supaqueue.queue q
    where not q.is_paused
      and exists (select from supaqueue.worker w where w.queue = q.id and not w.locked)
      -- One row for each queue: without "offset 0" it may be a join that reads all that is pending.
      and exists (select from supaqueue.job j where j.queue = q.id and j.status = 'pending' offset 0)
  );
  if queues <> '{}' then
    perform supaqueue.dispatch(queues);
  end if;

  perform supaqueue.drop_queue_fronts(null, '-infinity');
  if random() < 0.01 then
    perform supaqueue.purge_tick_history();
  end if;
end
$$;
comment on function supaqueue.tick is 'All periodic work of Supaqueue; pg_cron runs it (see supaqueue.schedule_tick)';

-- Schedules the tick with pg_cron: every 5 seconds where its version can, else
-- every minute. Returns the schedule, or null where there is no pg_cron.
create or replace function supaqueue.schedule_tick()
returns text
language plpgsql
security definer
set search_path = ''
as $$
declare
  schedule text := (
    select case
      when string_to_array(substring(e.extversion from '^\d+\.\d+'), '.')::integer[] >= array[1, 5] then '5 seconds'
      else '* * * * *'
    end
    from pg_catalog.pg_extension e
    where e.extname = 'pg_cron'
  );
begin
  if schedule is null and exists (
    select from pg_catalog.pg_proc p where p.proname = 'schedule' and p.pronamespace = to_regnamespace('cron')
  ) then
    schedule := '5 seconds';
  end if;
  if schedule is not null then
    perform cron.schedule('supaqueue_tick', schedule, 'select supaqueue.tick()');
  end if;
  return schedule;
end
$$;
comment on function supaqueue.schedule_tick is 'Has pg_cron run supaqueue.tick(); without pg_cron jobs that wait (retries, run_at, lost calls) go on only when the queue is next used';
