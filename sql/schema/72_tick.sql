-- All periodic work: takes back lost calls, starts what is due,
-- deletes what is no longer kept. Safe to run at any time, also twice at
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
