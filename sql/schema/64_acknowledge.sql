-- Acknowledges a current job: a lane is about to call the target function.
-- Refused when it is gone or another lane has it, so that a dispatch that came
-- late, twice or again runs nothing.
create or replace function supaqueue.acknowledge(_current_job uuid, _lane uuid)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  call supaqueue.current_job;
  _lease_ms bigint;
begin
  select c.* into call from supaqueue.current_job c where c.id = _current_job for update;
  if not found then
    return supaqueue.answer('refused', 'this current job is unknown, was settled, or was taken back', null);
  elsif call.acknowledged_at is not null and (call.lane = _lane) is not true then
    return supaqueue.answer('refused', 'this current job was acknowledged already', null);
  end if;

  _lease_ms := supaqueue.timeout_of(call.job) + (select s.lease_grace_ms from supaqueue.setting s);
  if _lease_ms is null then
    -- Cancelled or deleted before the call began: there is nothing to run.
    delete from supaqueue.current_job c where c.id = _current_job;
    perform supaqueue.free_worker(call, null);
    return supaqueue.answer('refused', 'the job was cancelled or deleted', null);
  end if;

  update supaqueue.current_job c
  set acknowledged_at = clock_timestamp(), lane = _lane,
    lease_until = clock_timestamp() + supaqueue.ms(_lease_ms)
  where c.id = _current_job;

  -- Its worker is gone, or going: a free one takes the call over. Until it has, nothing
  -- is started in the queue, and who would have started it had to leave this call alone.
  perform from supaqueue.worker w where w.id = call.worker and w.queue = call.queue for share skip locked;
  if not found then
    perform supaqueue.lock_queues('{}', array[call.queue]);
    perform supaqueue.try_start_jobs(array[call.queue], array[call.queue]);
  end if;
  return supaqueue.answer('started', null, null) || jsonb_build_object('lease_ms', _lease_ms);
end
$$;
