-- Settles the job of a call that a run reports, and gives the run the worker's next job. If there is
-- none, the worker is freed, and the run gets what waits for pg_net.
--
-- A report can be repeated: while the run lives, its calls leave only by its own reports, so a call
-- that is gone was reported, and the answer is the same. Nothing else is refused than a run that is
-- over: its calls were given up, and it has to abort everything.
--
-- An error that would happen again (in a user's trigger, for example) does not fail the report: the
-- outcome is noted, and the tick settles the job. Others (a deadlock, a full disk) do: the run
-- repeats the report.
--
-- While the calls of a queue are short, the run holds the worker's next job ready, so that it need not
-- wait for this: _report says whether that was begun (started) or is given back (given_back). Then there
-- is no next job, but another one to be held ready, if _next asks for it (prefetch).
create or replace function supaqueue.report(
  _current_job uuid, _run uuid, _is_successful boolean, _report jsonb, _next jsonb
)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
  call supaqueue.current_job;
  other uuid;
  is_begun boolean := false;
  has_room boolean := false;
  handed_out record;
  next_record jsonb;
begin
  if _report ? 'given_back' then
    -- Before the call ends: its worker is not free.
    perform supaqueue.give_back(_run, supaqueue.ids(_report -> 'given_back'));
  end if;
  call := supaqueue.end_call_of(_run, _current_job);
  if call.id is null then
    if not supaqueue.is_alive(_run) then
      return supaqueue.answer('refused', 'this run is over: its lease ended, and its calls were given up');
    end if;
    handed_out := supaqueue.handed_out(_current_job, _run);
    return supaqueue.answer(
      'settled', null, supaqueue.record(handed_out.next_call), supaqueue.record(handed_out.held_call));
  end if;
  if _report ->> 'problem' is not null then
    -- The next job would have the same.
    _next := null;
  end if;
  if call.held is not null then
    other := (supaqueue.lock_call(call.held)).id;
    is_begun := coalesce(_report -> 'started' ? other::text, false);
    has_room := is_begun and _next -> 'prefetch' = 'true';
  end if;

  begin
    if call.is_complete then
      perform supaqueue.settle_again(call.queue, call.job);
    else
      perform supaqueue.settle_job(call.job, _is_successful, _report);
    end if;
    if other is null or has_room then
      next_record := supaqueue.hand_out_next_job(call, _next, other);
    end if;
  exception
    when others then
      -- One after the other: whichever failed must not undo the other.
      perform supaqueue.settle_or_note(call.job, call.queue, _is_successful, _report, can_be_repeated => true)
      where not call.is_complete;
      if other is null or has_room then
        next_record := supaqueue.try_hand_out_next_job(call, _next, other);
      end if;
  end;
  if other is not null then
    perform supaqueue.begin_held_call(other, (next_record #>> '{current_job,id}')::uuid) where is_begun;
    return supaqueue.answer('settled', held_record => next_record);
  elsif next_record is not null then
    return supaqueue.answer('settled', null, next_record, case
      when _next -> 'prefetch' = 'true' then supaqueue.hold_next_job(call, _next, (next_record #>> '{current_job,id}')::uuid)
    end);
  elsif _next is not null then
    other := (supaqueue.take_sent_calls(call.queue, _run, null, call.id, _next || '{"calls": 1}'))[1];
    next_record := supaqueue.record(other);
    if next_record is null then
      -- Somebody has just deleted its job.
      perform supaqueue.drop_call(supaqueue.end_call(other), '{"is_attempt": false}') where other is not null;
    else
      perform supaqueue.free_worker(call);
      return supaqueue.answer('settled', null, next_record);
    end if;
  end if;
  next_record := supaqueue.free_worker(call, _next);
  return supaqueue.answer('settled', null, next_record, null, case
    when next_record is null and _next is not null then supaqueue.again_in_ms(call.queue, 0, at)
  end);
end
$$;

-- Gives the run of a call that ended one more job of its worker, to be held ready behind the next one;
-- returns its record.
create or replace function supaqueue.hold_next_job(call supaqueue.current_job, _next jsonb, _behind uuid)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  held_record jsonb := supaqueue.try_hand_out_next_job(call, supaqueue.room_left(_next, array[_behind]), _behind);
begin
  perform supaqueue.begin_held_call(_behind, (held_record #>> '{current_job,id}')::uuid);
  return held_record;
end
$$;

-- Notes that a run has begun a call, which may have been held ready, and what it holds behind it.
create or replace function supaqueue.begin_held_call(_current_job uuid, _held uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update supaqueue.current_job c
  set state = 'started', held = _held
  where c.id = _current_job and (c.state <> 'started' or _held is not null);
end
$$;

-- Deletes the current job of a call that ended, and returns it, if a run that is not over has it.
create or replace function supaqueue.end_call_of(_run uuid, _current_job uuid)
returns supaqueue.current_job
language plpgsql
set search_path = ''
as $$
declare
  call supaqueue.current_job;
begin
  if supaqueue.is_alive(_run) then
    delete from supaqueue.current_job c
    where c.id = _current_job and c.run = _run
    returning c.* into call;
  end if;
  return call;
end
$$;

create or replace function supaqueue.end_call(_current_job uuid)
returns supaqueue.current_job
language plpgsql
set search_path = ''
as $$
declare
  call supaqueue.current_job;
begin
  delete from supaqueue.current_job c
  where c.id = _current_job
  returning c.* into call;
  return call;
end
$$;

-- The calls that a report of this run has handed out before; null if there are none.
create or replace function supaqueue.handed_out(_previous uuid, _run uuid, out next_call uuid, out held_call uuid)
language plpgsql
stable
set search_path = ''
as $$
begin
  select max(c.id::text) filter (where c.behind is null), max(c.id::text) filter (where c.behind is not null)
  into next_call, held_call
  from supaqueue.current_job c
  where c.previous = _previous and c.run = _run;
end
$$;
