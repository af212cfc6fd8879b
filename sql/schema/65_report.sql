-- The answer to a report whose current job is gone: the one it had before if
-- this is a repetition, else a refusal without effect.
--
-- The next job that it names gets its whole lease again: the lane hears of it only
-- now, however long ago it was handed out, and calls the target for its whole timeout.
create or replace function supaqueue.repeated_answer(_current_job uuid)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
  next_call uuid;
begin
  update supaqueue.current_job c
  set acknowledged_at = at, lease_until = at + (c.lease_until - c.acknowledged_at)
  where c.previous = _current_job
  returning c.id into next_call;
  if found then
    return supaqueue.answer('settled', null, supaqueue.record(next_call));
  elsif exists (select from supaqueue.worker w where w.last_report = _current_job) then
    return supaqueue.answer('settled', null, null);
  end if;
  return supaqueue.answer('refused', 'this current job is unknown, was settled, or was taken back', null);
end
$$;

-- Settles the job of a current job, and hands its worker's next job to the caller.
-- Where that has none the worker is freed, and the caller gets what waits for pg_net.
create or replace function supaqueue.report(
  _current_job uuid, _is_successful boolean, _report jsonb, _next_within_ms integer
)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  _lane uuid := supaqueue.uuid_or_null(_report ->> 'lane');
  call supaqueue.current_job;
  next_record jsonb;
begin
  delete from supaqueue.current_job c
  where c.id = _current_job and (c.lane <> _lane) is not true
  returning c.* into call;
  if not found then
    if exists (select from supaqueue.current_job c where c.id = _current_job) then
      return supaqueue.answer('refused', 'another lane has this current job', null);
    end if;
    return supaqueue.repeated_answer(_current_job);
  end if;

  perform supaqueue.settle_job(call.job, _is_successful, _report);

  next_record := supaqueue.hand_out_next_job(call, _next_within_ms);
  if next_record is null then
    next_record := supaqueue.hand_out_sent_call(call, _next_within_ms);
    if next_record is null then
      next_record := supaqueue.free_worker(call, _next_within_ms);
    else
      perform supaqueue.free_worker(call, null);
    end if;
  end if;
  return supaqueue.answer('settled', null, next_record);
end
$$;
