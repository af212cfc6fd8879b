-- The answer to a report whose current job is gone: the same as before if this is a repetition, else
-- a refusal without effect.
--
-- The next job gets its whole lease again: the lane learns of it only now, however long ago it was
-- handed out, and calls the target for its whole timeout.
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

-- Deletes the current job of a call that ended, and returns it, unless another lane has it.
create or replace function supaqueue.end_call(_current_job uuid, _lane text)
returns supaqueue.current_job
language plpgsql
set search_path = ''
as $$
declare
  call supaqueue.current_job;
begin
  delete from supaqueue.current_job c
  where c.id = _current_job and (c.lane <> _lane) is not true
  returning c.* into call;
  return call;
end
$$;

-- Settles the job of a current job, and hands its worker's next job to the caller. If there is none,
-- the worker is freed, and the caller gets what waits for pg_net.
--
-- An error that would happen again (in a user's trigger, for example) does not fail the report: the
-- outcome is noted, and the tick settles the job. Others (a deadlock, a full disk) do: the lane
-- repeats the report.
create or replace function supaqueue.report(
  _current_job uuid, _is_successful boolean, _report jsonb, _next_within_ms integer
)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  call supaqueue.current_job := supaqueue.end_call(_current_job, _report ->> 'lane');
  next_record jsonb;
begin
  if call.id is null then
    if (supaqueue.lock_call(_current_job)).id is not null then
      return supaqueue.answer('refused', 'another lane has this current job', null);
    end if;
    return supaqueue.repeated_answer(_current_job);
  end if;

  begin
    perform supaqueue.settle_job(call.job, _is_successful, _report);
    next_record := supaqueue.hand_out_next_job(call, _next_within_ms);
  exception
    when others then
      -- One after the other: whichever failed must not undo the other.
      perform supaqueue.settle_or_note(call.job, call.queue, _is_successful, _report, can_be_repeated => true);
      next_record := supaqueue.try_hand_out_next_job(call, _next_within_ms);
  end;
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
