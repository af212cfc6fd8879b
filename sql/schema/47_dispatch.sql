-- Dispatches queues at the end of a transaction that made something startable.
-- Never fails. Takes back first what the queues lost, so that they recover
-- without pg_cron, too. has_usable_workers: the transaction also made workers usable.
--
-- A transaction of another level than read committed does not see what was
-- committed after it began, so it leaves its jobs to the tick.
--
-- Sessions keep their plans: one that met the tables when they held three jobs would
-- go on reading them whole, or sorting all that waits, when they hold a million. So the
-- ways in (this, end_current_job, tick) plan for indexes, in their order, whatever the
-- tables look like, and once: Postgres would plan the search for the next job anew each
-- time, an eighth of what a report costs.
create or replace function supaqueue.dispatch(_queues uuid[], has_usable_workers boolean default false)
returns integer
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  _exclusive uuid[];
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    return 0;
  end if;
  perform supaqueue.try_reclaim(_queues);
  _exclusive := array(
    select d.queue from unnest(_queues) as d (queue)
    where has_usable_workers or supaqueue.has_calls_to_adopt(d.queue)
  );
  perform supaqueue.lock_queues(_queues, _exclusive);
  -- With the locks held: who waits for this has none that we wait for.
  perform supaqueue.drop_queue_fronts(_queues, least(now(), supaqueue.earliest_run_at()));
  return supaqueue.try_start_jobs(_queues, _exclusive);
end
$$;
