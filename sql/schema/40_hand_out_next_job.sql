-- Gives the lane of a call that ended the next job of its worker, as the record
-- that it needs, already acknowledged. Null when there is none: no job is due,
-- the queue is paused, the next job would take longer than _next_within_ms, or
-- the worker is gone (or going: another transaction is deleting it).
create or replace function supaqueue.hand_out_next_job(call supaqueue.current_job, _next_within_ms integer)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  queue supaqueue.queue;
  next_job uuid;
  next_timeout_ms integer;
  next_call uuid := supaqueue.new_id();
begin
  if _next_within_ms is null then
    return null;
  end if;
  perform from supaqueue.worker w where w.id = call.worker and w.queue = call.queue for key share skip locked;
  if not found then
    return null;
  end if;

  select q.* into queue from supaqueue.queue q where q.id = call.queue and not q.is_paused;
  if not found then
    return null;
  end if;
  next_job := (supaqueue.due_jobs(queue.id, 1))[1];
  select coalesce(j.timeout_ms, queue.timeout_ms) into next_timeout_ms from supaqueue.job j where j.id = next_job;
  if next_job is null or next_timeout_ms > _next_within_ms then
    return null;
  end if;

  update supaqueue.job j
  set status = 'in_progress', attempts = j.attempts + 1, started_at = clock_timestamp()
  where j.id = next_job;
  insert into supaqueue.current_job (id, queue, worker, job, acknowledged_at, lane, previous, lease_until)
  select
    next_call, call.queue, call.worker, next_job, clock_timestamp(), call.lane, call.id,
    clock_timestamp() + supaqueue.ms(next_timeout_ms + s.lease_grace_ms)
  from supaqueue.setting s;
  return supaqueue.record(next_call);
end
$$;
