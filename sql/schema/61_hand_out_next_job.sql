-- Gives the lane of a call that ended the next job of its worker, as the record that it needs,
-- already acknowledged. Null if there is none: no job is ready, the queue is paused, the next job
-- would take longer than _next_within_ms, or the worker is gone.
create or replace function supaqueue.hand_out_next_job(call supaqueue.current_job, _next_within_ms integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  started_at timestamptz := clock_timestamp();
  queue supaqueue.queue;
  _job uuid;
  job record;
  _timeout_ms integer;
  job_record jsonb;
  next_call supaqueue.current_job;
begin
  if _next_within_ms is null then
    return null;
  end if;
  queue := supaqueue.queue_of_worker(call.worker, call.queue);
  if queue.id is null then
    return null;
  end if;
  _job := (supaqueue.next_jobs(queue.id, 1))[1];
  if _job is null then
    return null;
  end if;
  job := supaqueue.lock_job(_job);
  _timeout_ms := coalesce(job.timeout_ms, queue.timeout_ms);
  if _timeout_ms > _next_within_ms then
    return null;
  end if;
  job_record := supaqueue.take_job(job.place);
  insert into supaqueue.current_job (queue, worker, job, acknowledged_at, lane, previous, lease_until)
  values (
    call.queue, call.worker, _job, clock_timestamp(), call.lane, call.id,
    clock_timestamp() + supaqueue.ms(supaqueue.lease_ms(_timeout_ms)))
  returning * into next_call;
  if random() < 0.01 or clock_timestamp() > started_at + interval '5 milliseconds' then
    perform supaqueue.try_move_front(queue.id, _job);
  end if;
  return supaqueue.record_of(next_call, job_record, queue);
end
$$;

-- The same; null if it fails. Whoever starts jobs next finds out why.
create or replace function supaqueue.try_hand_out_next_job(call supaqueue.current_job, _next_within_ms integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
  return supaqueue.hand_out_next_job(call, _next_within_ms);
exception
  when others then
    return null;
end
$$;

-- The queue of a worker; null if the queue is paused or the worker is gone. If somebody deletes the
-- worker at this moment, a free one takes over the next call (see deleted_worker).
create or replace function supaqueue.queue_of_worker(_worker uuid, _queue uuid)
returns supaqueue.queue
language plpgsql
stable
set search_path = ''
as $$
declare
  queue supaqueue.queue;
begin
  select q.* into queue
  from supaqueue.worker w
  join supaqueue.queue q on q.id = w.queue
  where w.id = _worker and w.queue = _queue and not q.is_paused;
  return queue;
end
$$;
