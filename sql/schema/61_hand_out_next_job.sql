-- Gives the lane of a call that ended the next job of its worker, as the record
-- that it needs, already acknowledged. Null when there is none: no job is due,
-- the queue is paused, the next job would take longer than _next_within_ms, or
-- the worker is gone (or going: another transaction is deleting it).
create or replace function supaqueue.hand_out_next_job(call supaqueue.current_job, _next_within_ms integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  queue supaqueue.queue;
  next_job uuid;
  job supaqueue.job;
  next_call supaqueue.current_job;
begin
  if _next_within_ms is null then
    return null;
  end if;
  select q.* into queue
  from supaqueue.worker w
  join supaqueue.queue q on q.id = w.queue
  where w.id = call.worker and w.queue = call.queue and not q.is_paused
  for share of w skip locked;
  if not found then
    return null;
  end if;
  next_job := (supaqueue.due_jobs(queue.id, 1))[1];
  update supaqueue.job j
  set status = 'in_progress', attempts = j.attempts + 1, started_at = clock_timestamp()
  where j.id = next_job and coalesce(j.timeout_ms, queue.timeout_ms) <= _next_within_ms
  returning j.* into job;
  if not found then
    return null;
  end if;

  insert into supaqueue.current_job (queue, worker, job, acknowledged_at, lane, previous, lease_until)
  select
    call.queue, call.worker, job.id, clock_timestamp(), call.lane, call.id,
    clock_timestamp() + supaqueue.ms(coalesce(job.timeout_ms, queue.timeout_ms) + s.lease_grace_ms)
  from supaqueue.setting s
  returning * into next_call;
  return supaqueue.record_of(next_call, job, queue);
end
$$;
