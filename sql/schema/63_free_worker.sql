-- Frees the worker of a call that ended, and starts what can be started then, in its queue and in
-- those that the transaction has woken so far.
--
-- Returns the next job instead of freeing the worker if one came up before the lock was had and
-- _next asks for it (null: it does not). If the lock is not to be had soon, the worker is freed
-- without it, and the tick looks for jobs once more.
create or replace function supaqueue.free_worker(call supaqueue.current_job, _next jsonb default null)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  woken record := supaqueue.take_wake_ups();
  queues uuid[] := call.queue || woken.queues;
  exclusive uuid[];
  is_locked boolean := true;
  started_at timestamptz := clock_timestamp();
  next_record jsonb;
begin
  begin
    exclusive := supaqueue.lock_to_start(queues, array[call.queue], woken.has_usable_workers);
  exception
    when others then
      is_locked := false;
      perform supaqueue.note_unfinished('start', d.queue, null, sqlstate, sqlerrm) from unnest(queues) as d (queue);
  end;
  if is_locked then
    next_record := supaqueue.try_hand_out_next_job(call, _next);
  end if;
  if next_record is null then
    perform supaqueue.set_locked(array[call.worker], false);
  end if;
  if is_locked then
    if random() < 0.01 or clock_timestamp() > started_at + interval '5 milliseconds' then
      perform supaqueue.move_front(call.queue, call.job);
    end if;
    perform supaqueue.try_start_jobs(queues, exclusive);
  end if;
  return next_record;
end
$$;
