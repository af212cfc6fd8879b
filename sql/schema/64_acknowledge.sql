-- Gives a run the calls that a dispatch brought, in its pulse _number, as many as it has room for.
-- Returns their ids. What is not sent any more is left out: it was sent again under a new id, or
-- another run has it.
--
-- What there is no room for stays sent, with a new lease: the run takes it later, or it is sent
-- again. Each call fails alone, and is sent again, too.
create or replace function supaqueue.acknowledge(_run uuid, _number integer, _calls uuid[], room jsonb)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  _call uuid;
  _job uuid;
  needs record;
  started uuid[] := '{}';
begin
  foreach _call in array supaqueue.lock_sent_calls(_calls) loop
    begin
      _job := (supaqueue.lock_call(_call)).job;
      needs := supaqueue.needs_of(_job);
      if needs.status is distinct from 'in_progress' then
        -- Cancelled or deleted before the call began.
        perform supaqueue.drop_call(supaqueue.end_call(_call), '{"is_attempt": false}');
      elsif needs.timeout_ms > (room ->> 'whole_ms')::numeric then
        perform supaqueue.drop_call(supaqueue.end_call(_call), jsonb_build_object('is_attempt', false, 'problem', format(
          'its timeout of %s ms fits no isolate, which has %s ms for a call (SUPAQUEUE_TIME_BUDGET_MS, less the time for reports); '
          'lower timeout_ms of the job or its queue, or raise SUPAQUEUE_TIME_BUDGET_MS if the plan of the project allows it',
          needs.timeout_ms, room ->> 'whole_ms')));
      elsif supaqueue.fits(room, needs.timeout_ms, needs.bytes) then
        perform supaqueue.begin_call(_call, _run, _number, null);
        room := supaqueue.room_after(room, 1, needs.bytes);
        started := started || _call;
      else
        perform supaqueue.renew_call(_call);
      end if;
    exception
      when others then
        raise warning 'supaqueue could not acknowledge the call %: %', _call, sqlerrm using errcode = sqlstate;
    end;
  end loop;
  return started;
end
$$;

create or replace function supaqueue.lock_sent_calls(_calls uuid[])
returns uuid[]
language plpgsql
set search_path = ''
as $$
begin
  return array(
    select c.id from supaqueue.current_job c
    where c.id = any (_calls) and c.state = 'sent'
    order by c.created_at, c.id
    for update skip locked
  );
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

-- Settles the job of a call that ended without having been made, and frees its worker, unless that
-- has another call. A job that somebody is changing just now is settled by the tick: a run does not
-- wait for it.
create or replace function supaqueue.drop_call(call supaqueue.current_job, _report jsonb)
returns void
language plpgsql
set search_path = ''
as $$
begin
  if call.id is null then
    return;
  elsif supaqueue.is_being_changed(call.job) then
    perform supaqueue.note_unfinished('settle', call.queue, call.job, null, null,
      jsonb_build_object('is_successful', false, 'report', _report));
  elsif not call.is_complete then
    perform supaqueue.settle_or_note(call.job, call.queue, false, _report);
  else
    perform supaqueue.settle_again(call.queue, call.job);
  end if;
  perform supaqueue.free_worker(call)
  where not supaqueue.is_call(call.held) and not supaqueue.is_call(call.behind);
end
$$;

create or replace function supaqueue.is_call(_current_job uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (select from supaqueue.current_job c where c.id = _current_job);
end
$$;

-- Takes back calls that a run has not begun. Each fails alone.
create or replace function supaqueue.give_back(_run uuid, _calls uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  _call uuid;
begin
  foreach _call in array supaqueue.lock_with_others(_calls) loop
    begin
      perform supaqueue.drop_call(supaqueue.end_call_of(_run, _call), '{"is_attempt": false, "is_due": true}');
    exception
      when others then
        raise warning 'supaqueue could not take back the call %: %', _call, sqlerrm using errcode = sqlstate;
    end;
  end loop;
end
$$;

create or replace function supaqueue.renew_call(_current_job uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update supaqueue.current_job c
  set lease_until = clock_timestamp() + supaqueue.ms((supaqueue.settings()).dispatch_lease_ms)
  where c.id = _current_job;
end
$$;

-- Locks calls, and the other calls of their workers, in the order in which a report locks the two: if somebody else
-- ended the other one at this moment, neither would free the worker. Returns the calls, held ones first, so that the
-- worker goes last.
--
-- A user may hold one of them for long, and a pulse must not wait for that: the tick frees the worker then, if need be.
create or replace function supaqueue.lock_with_others(_calls uuid[])
returns uuid[]
language plpgsql
set search_path = ''
set lock_timeout = '1s'
as $$
begin
  begin
    perform from supaqueue.current_job c
    where c.id = any (_calls || array(
      select unnest(array[one.held, one.behind]) from supaqueue.current_job one where one.id = any (_calls)))
    order by c.state = 'held', c.id
    for update;
  exception
    when lock_not_available then
      perform supaqueue.note_unfinished('start', q.id, null, sqlstate, sqlerrm)
      from (select distinct c.queue from supaqueue.current_job c where c.id = any (_calls)) q (id);
  end;
  return array(
    select c.id from supaqueue.current_job c where c.id = any (_calls) order by c.state <> 'held', c.id
  );
end
$$;
