-- Gives the run of a call that ended the next job of its worker, as the record that it needs. Null if
-- there is none: no job is ready, the queue is paused, there is no room for the next job (_next), or
-- the worker is gone.
--
-- The run may have it begin at once, or hold it ready behind a call of the same worker (_behind). Its
-- attempt counts from now; if it is not begun, that is given back. A job that was held ready by runs
-- that were lost three times is not held any more: it may be what ends them.
create or replace function supaqueue.hand_out_next_job(call supaqueue.current_job, _next jsonb, _behind uuid default null)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  started_at timestamptz := clock_timestamp();
  queue supaqueue.queue;
  _job uuid;
  job record;
  job_record jsonb;
  next_call uuid;
begin
  if _next is null then
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
  if coalesce(job.timeout_ms, queue.timeout_ms) > (_next ->> 'within_ms')::numeric
    or supaqueue.bytes_of(_job, job.stored_bytes) > (_next ->> 'bytes')::numeric
    or _behind is not null and job.unstarted >= 3
  then
    return null;
  end if;
  job_record := supaqueue.take_job(job.place);
  insert into supaqueue.current_job (queue, worker, job, state, run, previous, behind)
  values (call.queue, call.worker, _job, case when _behind is null then 'started' else 'held' end, call.run, call.id, _behind)
  returning id into next_call;
  if random() < 0.01 or clock_timestamp() > started_at + interval '5 milliseconds' then
    perform supaqueue.try_move_front(queue.id, _job);
  end if;
  return supaqueue.record_of(next_call, job_record, queue);
end
$$;

-- The same; null if it fails. Whoever starts jobs next finds out why.
create or replace function supaqueue.try_hand_out_next_job(call supaqueue.current_job, _next jsonb, _behind uuid default null)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
  return supaqueue.hand_out_next_job(call, _next, _behind);
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
