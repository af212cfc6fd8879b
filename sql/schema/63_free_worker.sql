-- Frees the worker of a call that ended, and starts what can be started then, in
-- its queue and in those that the transaction woke so far.
--
-- Returns the next job instead of freeing the worker where one came up before
-- the lock was had and _next_within_ms asks for it (null: it does not).
create or replace function supaqueue.free_worker(call supaqueue.current_job, _next_within_ms integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  woken record;
  _exclusive uuid[];
  next_record jsonb;
begin
  -- Reclaiming first: what it settles may wake more queues. Not where others are woken
  -- already: it locks ours, and theirs may come before it.
  if coalesce(current_setting('supaqueue.queues_to_dispatch', true), '') = '' then
    perform supaqueue.try_reclaim(array[call.queue]);
  end if;
  woken := supaqueue.take_wake_ups();
  _exclusive := call.queue || array(
    select d.queue from unnest(woken.queues) as d (queue)
    where woken.has_usable_workers or supaqueue.has_calls_to_adopt(d.queue)
  );
  perform supaqueue.lock_queues(woken.queues, _exclusive);

  next_record := supaqueue.hand_out_next_job(call, _next_within_ms);
  if next_record is null then
    update supaqueue.worker w
    set locked = false, last_report = call.id
    from (
      select l.id from supaqueue.worker l
      where l.id = call.worker and l.queue = call.queue
      for no key update skip locked
    ) as still_there
    where w.id = still_there.id;
  end if;
  perform supaqueue.try_start_jobs(call.queue || woken.queues, _exclusive);
  return next_record;
end
$$;
