-- Takes back the calls of a queue whose lease is over, at most 100; returns whether there may be
-- more. Calls that were not acknowledged are sent again under a new id, a bounded number of times,
-- and then go back to pending with the reason, without an attempt spent; acknowledged ones are
-- lost attempts. Each call fails alone. Call it with the queue's lock held exclusively.
create or replace function supaqueue.recover(_queue uuid)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
  call supaqueue.current_job;
  number integer := 0;
  to_send uuid[] := '{}';
  workers uuid[];
  problem text := (select p.problem from supaqueue.dispatch_problem() p);
begin
  for call in
    select c.* from supaqueue.current_job c
    where c.queue = _queue and c.lease_until < at
    order by c.id
    limit 100
    for update skip locked
  loop
    number := number + 1;
    begin
      to_send := to_send || supaqueue.take_back(call, problem);
      perform supaqueue.note_done('take back', _queue, call.job);
    exception
      when others then
        perform supaqueue.note_unfinished('take back', _queue, call.job, sqlstate, sqlerrm);
    end;
  end loop;
  perform supaqueue.send_current_jobs(to_send) where to_send <> '{}';

  -- Workers that stayed locked without a call: somebody deleted the call.
  workers := array(
    select w.id from supaqueue.worker w
    where w.queue = _queue and w.locked
      and not exists (select from supaqueue.current_job c where c.queue = _queue and c.worker = w.id)
  );
  if workers <> '{}' then
    perform supaqueue.set_locked(workers, false);
    update supaqueue.last_tick t set is_check_urgent = true, checked_until = null where t.is_only_row;
  end if;
  return number = 100;
end
$$;

-- Takes back one call. Returns its new id if it is to be sent again, in an array.
create or replace function supaqueue.take_back(call supaqueue.current_job, problem text)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  setting supaqueue.setting := supaqueue.settings();
  _status text;
begin
  -- A job that somebody is changing just now is left to the next time.
  select j.status into _status from supaqueue.job j where j.id = call.job for no key update skip locked;
  if not found and exists (select from supaqueue.job j where j.id = call.job) then
    return '{}';
  end if;

  if call.acknowledged_at is null and _status = 'in_progress' and call.dispatches < setting.max_dispatches and problem is null then
    update supaqueue.current_job c
    set id = supaqueue.new_id(), dispatches = c.dispatches + 1, created_at = clock_timestamp(),
      lease_until = clock_timestamp() + supaqueue.ms(setting.dispatch_lease_ms * (c.dispatches + 1.0))
    where c.id = call.id
    returning c.id into call.id;
    return array[call.id];
  end if;

  perform supaqueue.end_call(call.id, call.lane);
  perform supaqueue.set_locked(array[call.worker], false);
  perform supaqueue.settle_or_note(call.job, call.queue, false, case
    when call.acknowledged_at is null then jsonb_build_object(
      'is_attempt', false,
      'retry_after_ms', setting.dispatch_lease_ms,
      'error', jsonb_build_object('message', format(
        'not acknowledged by the supaqueue function, sent %s times; the last request: %s',
        call.dispatches, coalesce(problem, supaqueue.request_outcome(call.request_id, call.created_at)))))
    else '{"error": {"message": "lost: the call was not reported within its timeout and the grace after it"}}'
  end);
  return '{}';
end
$$;
