-- Acknowledges a current job: a lane is about to call the target function. Refused if it is gone or
-- another lane has it, so that a late or repeated dispatch runs nothing.
create or replace function supaqueue.acknowledge(_current_job uuid, _lane text)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  call supaqueue.current_job := supaqueue.lock_call(_current_job);
  _lease_ms bigint;
begin
  if call.id is null then
    return supaqueue.answer('refused', 'this current job is unknown, was settled, or was taken back', null);
  elsif call.acknowledged_at is not null and (call.lane = _lane) is not true then
    return supaqueue.answer('refused', 'this current job was acknowledged already', null);
  end if;

  _lease_ms := supaqueue.lease_ms(supaqueue.timeout_of(call.job));
  if _lease_ms is null then
    -- Cancelled or deleted before the call began: there is nothing to run.
    perform supaqueue.end_call(call.id, call.lane);
    perform supaqueue.free_worker(call, null);
    return supaqueue.answer('refused', 'the job was cancelled or deleted', null);
  end if;

  perform supaqueue.begin_call(_current_job, _lane, _lease_ms);
  return supaqueue.answer('started', null, null) || jsonb_build_object('lease_ms', _lease_ms);
end
$$;

create or replace function supaqueue.lock_call(_current_job uuid)
returns supaqueue.current_job
language plpgsql
set search_path = ''
as $$
declare
  call supaqueue.current_job;
begin
  select c.* into call from supaqueue.current_job c where c.id = _current_job for update;
  return call;
end
$$;

create or replace function supaqueue.begin_call(_current_job uuid, _lane text, _lease_ms bigint)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update supaqueue.current_job c
  set acknowledged_at = clock_timestamp(), lane = _lane, lease_until = clock_timestamp() + supaqueue.ms(_lease_ms)
  where c.id = _current_job;
end
$$;
