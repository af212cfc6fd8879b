-- Marks the runs over whose lease has ended, and deletes them later. Not before the server has been
-- up for a lease: until then, the pulses of those that live may not have come through.
create or replace function supaqueue.end_runs()
returns void
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
begin
  if pg_postmaster_start_time() < at - supaqueue.ms((supaqueue.settings()).run_lease_ms) then
    update supaqueue.run r set is_over = true
    where r.id = any (array(
      select o.id from supaqueue.run o where not o.is_over and o.lease_until < at for no key update skip locked
    ));
  end if;
  delete from supaqueue.run r
  where r.id = any (array(
    select o.id from supaqueue.run o
    where o.is_over and o.lease_until < at - interval '10 minutes'
      and not exists (select from supaqueue.current_job c where c.run = o.id)
    for update skip locked
  ));
end
$$;

-- Whether a run has not ended. Reports do not lock its row, and need not: the next tick takes back the
-- calls of a run that is over.
create or replace function supaqueue.is_alive(_run uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (select from supaqueue.run r where r.id = _run and not r.is_over);
end
$$;

-- The calls of a queue that are lost: sent and not acknowledged within their lease, or
-- of a run that is over.
create or replace function supaqueue.lost_calls(_queue uuid, _limit integer)
returns uuid[]
language sql
stable
set search_path = ''
as $$
  select array(
    select c.id from supaqueue.current_job c
    where c.queue = _queue
      and (c.lease_until < clock_timestamp() or c.run is not null and c.run not in (select r.id from supaqueue.run r where not r.is_over))
    order by c.id
    limit _limit
  )
$$;

-- Takes back the calls of a queue that are lost, at most 100; returns whether there may be more.
-- Sent ones are sent again under a new id, a bounded number of times, and then go back to pending
-- with the reason, without an attempt spent, as those do that were held ready; started ones are
-- lost attempts. Each call fails alone.
-- Call it with the queue's lock held exclusively.
create or replace function supaqueue.recover(_queue uuid)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  calls uuid[] := supaqueue.lost_calls(_queue, 100);
  _call uuid;
  call supaqueue.current_job;
  freed uuid[] := '{}';
  to_send uuid[] := '{}';
  workers uuid[];
  problem text := (select p.problem from supaqueue.dispatch_problem() p);
begin
  foreach _call in array calls loop
    -- It may have been acknowledged, or sent again, since it was looked for.
    select c.* into call from supaqueue.current_job c where c.id = _call for update skip locked;
    continue when not found or not coalesce(call.lease_until < clock_timestamp(), not supaqueue.is_alive(call.run));
    begin
      to_send := to_send || supaqueue.take_back(call, problem);
      perform supaqueue.note_done('take back', _queue, call.job);
      freed := freed || call.worker;
    exception
      when others then
        perform supaqueue.note_unfinished('take back', _queue, call.job, sqlstate, sqlerrm);
    end;
  end loop;
  perform supaqueue.send_current_jobs(to_send) where to_send <> '{}';

  -- When all calls of a worker are taken back: a run may have had two.
  workers := array(
    select w.id from supaqueue.worker w
    where w.queue = _queue and w.locked
      and not exists (select from supaqueue.current_job c where c.queue = _queue and c.worker = w.id)
  );
  if workers <> '{}' then
    perform supaqueue.set_locked(workers, false);
    -- Somebody has deleted the call.
    update supaqueue.last_tick t set is_check_urgent = true, checked_until = null
    where t.is_only_row and not workers <@ freed;
  end if;
  return cardinality(calls) = 100;
end
$$;

-- Locks a job, unless it is gone or somebody is changing it just now; returns whether that is so.
create or replace function supaqueue.is_being_changed(_job uuid)
returns boolean
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
begin
  perform from supaqueue.job j where j.id = _job for no key update skip locked;
  return not found and exists (select from supaqueue.job j where j.id = _job);
end
$$;

-- Takes back one call. Returns its new id if it is to be sent again, in an array. A job that somebody is
-- changing just now is left to the next time.
create or replace function supaqueue.take_back(call supaqueue.current_job, problem text)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  setting supaqueue.setting := supaqueue.settings();
  _status text;
begin
  if supaqueue.is_being_changed(call.job) then
    return '{}';
  end if;
  select j.status into _status from supaqueue.job j where j.id = call.job;

  if call.state = 'sent' and _status = 'in_progress' and call.dispatches < setting.max_dispatches and problem is null then
    update supaqueue.current_job c
    set id = supaqueue.new_id(), dispatches = c.dispatches + 1, created_at = clock_timestamp(),
      lease_until = clock_timestamp() + supaqueue.ms(setting.dispatch_lease_ms * (c.dispatches + 1.0))
    where c.id = call.id
    returning c.id into call.id;
    return array[call.id];
  end if;

  perform supaqueue.end_call(call.id);
  if call.is_complete then
    -- Settled by hand already.
    return '{}';
  end if;
  perform supaqueue.settle_or_note(call.job, call.queue, false, case
    when call.state = 'sent' then jsonb_build_object(
      'is_attempt', false,
      'retry_after_ms', setting.dispatch_lease_ms,
      'error', jsonb_build_object('message', format(
        'not acknowledged by the supaqueue function, sent %s times; the last request: %s',
        call.dispatches, coalesce(problem, supaqueue.request_outcome(call.request_id, call.created_at)))))
    when call.state = 'held' then '{"is_attempt": false, "is_due": true, "is_unstarted": true}'
    else '{"is_due": true, "error": {"message": "lost: the run that made the call ended before it reported"}}'
  end);
  return '{}';
end
$$;
