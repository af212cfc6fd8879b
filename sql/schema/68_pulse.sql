-- A run's sign of life: see public.supaqueue_pulse. One at a time, numbered from 1: a higher number
-- than the last one may take calls, the same one gets the same calls again, a lower one changes
-- nothing.
create or replace function supaqueue.pulse(_run uuid, _number integer, _request jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  lease_ms integer := (supaqueue.settings()).run_lease_ms;
  turn text := supaqueue.renew_run(_run, _number, lease_ms);
  at timestamptz := clock_timestamp();
  limits jsonb := coalesce(nullif(_request -> 'limits', 'null'), '{}');
  started uuid[] := '{}';
  queue record;
  queues jsonb := '[]';
  calls uuid[];
  cancelled uuid[] := '{}';
  gone uuid[] := '{}';
  unwanted uuid[] := '{}';
  records jsonb := '[]';
  missing uuid[];
begin
  if turn = 'over' then
    return jsonb_build_object('accepted', false, 'reason', 'this run is over: its lease ended, and its calls were given up');
  elsif turn = 'late' then
    return '{"accepted": true, "started": [], "cancelled": [], "gone": [], "unwanted": [], "queues": []}';
  elsif turn = 'repeated' then
    started := supaqueue.claimed(_run, _number);
  else
    if _request ? 'give_back' then
      perform supaqueue.give_back(_run, supaqueue.ids(_request -> 'give_back'));
    end if;
    if _request ? 'acknowledge' then
      started := supaqueue.acknowledge(_run, _number, supaqueue.ids(_request -> 'acknowledge'), limits);
    end if;
  end if;

  for queue in
    select q.id, q.idle_ms
    from jsonb_to_recordset(coalesce(nullif(_request -> 'queues', 'null'), '[]')) as q (id uuid, idle_ms numeric)
    order by q.id
  loop
    if turn = 'new' then
      started := started || supaqueue.try_claim(queue.id, _run, _number, supaqueue.room_left(limits, started));
    end if;
    queues := queues || jsonb_build_object(
      'id', queue.id, 'again_in_ms', supaqueue.again_in_ms(queue.id, queue.idle_ms, at));
  end loop;

  calls := supaqueue.ids(_request -> 'calls') || started;
  if calls <> '{}' then
    select d.* into cancelled, gone, unwanted from supaqueue.dropped_calls(_run, calls) d;
  end if;
  if started <> '{}' then
    select
      coalesce(jsonb_agg(r.record order by s.number) filter (where r.record is not null), '[]'),
      array_agg(s.id) filter (where r.record is null)
    into records, missing
    from unnest(started) with ordinality as s (id, number)
    cross join lateral supaqueue.record(s.id) as r (record)
    where s.id <> all (cancelled);
  end if;
  return jsonb_build_object(
    'accepted', true,
    'lease_ms', lease_ms,
    'started', records,
    'cancelled', cancelled || missing,
    'gone', gone,
    'unwanted', unwanted,
    'queues', queues
  );
end
$$;

-- Renews the lease of a run. Returns what its pulse may do: 'new', 'repeated', 'late', or nothing ('over').
--
-- The time is taken when the row is written: a pulse that had to wait for it must not shorten the
-- lease.
create or replace function supaqueue.renew_run(_run uuid, _number integer, lease_ms integer)
returns text
language plpgsql
set search_path = ''
as $$
begin
  if _number = 1 then
    insert into supaqueue.run (id, number, lease_until)
    values (_run, 1, clock_timestamp() + supaqueue.ms(lease_ms))
    on conflict do nothing;
  else
    update supaqueue.run r
    set number = _number, lease_until = clock_timestamp() + supaqueue.ms(lease_ms)
    where r.id = _run and r.number < _number and not r.is_over;
  end if;
  if found then
    return 'new';
  end if;
  update supaqueue.run r
  set lease_until = clock_timestamp() + supaqueue.ms(lease_ms)
  where r.id = _run and r.number = _number and not r.is_over;
  return case when found then 'repeated' when supaqueue.is_alive(_run) then 'late' else 'over' end;
end
$$;

-- The calls that a pulse has claimed before.
create or replace function supaqueue.claimed(_run uuid, _number integer)
returns uuid[]
language plpgsql
stable
set search_path = ''
as $$
begin
  return array(
    select c.id from supaqueue.current_job c
    where c.run = _run and c.claimed_in = _number
    order by c.created_at, c.id
  );
end
$$;

-- Gives a run calls of a queue for which it waits: those that were sent, and the next jobs of free
-- workers, those of schedules that are due included. Returns their ids.
create or replace function supaqueue.claim(_queue uuid, _run uuid, _number integer, room jsonb)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  calls uuid[] := supaqueue.take_sent_calls(_queue, _run, _number, null, room);
  schedules uuid[] := supaqueue.due_schedules(_queue, 10);
begin
  perform supaqueue.run_step('schedule', s.id) from unnest(schedules) as s (id);
  room := supaqueue.room_left(room, calls);
  if supaqueue.fits(room, 0, 0) and (schedules <> '{}' or supaqueue.has_next_job(_queue)) and supaqueue.free_workers(_queue) > 0 then
    calls := calls || supaqueue.start_jobs(
      array[_queue], supaqueue.lock_to_start(array[_queue], '{}', false), _run, _number, room);
  end if;
  return calls;
end
$$;

-- The same; none if it fails. The tick does what is left then.
create or replace function supaqueue.try_claim(_queue uuid, _run uuid, _number integer, room jsonb)
returns uuid[]
language plpgsql
set search_path = ''
as $$
begin
  return supaqueue.claim(_queue, _run, _number, room);
exception
  when others then
    perform supaqueue.note_unfinished('start', _queue, null, sqlstate, sqlerrm);
    return '{}';
end
$$;

-- Which of the calls of a run have lost their job (cancelled, deleted, settled by hand), which are no calls
-- of the run, and which it should not hold ready any more: their queue is paused, or their worker gone.
create or replace function supaqueue.dropped_calls(
  _run uuid, _calls uuid[], out cancelled uuid[], out gone uuid[], out unwanted uuid[]
)
language plpgsql
stable
set search_path = ''
as $$
begin
  select
    coalesce(array_agg(x.id) filter (
      where c.id is not null and (c.is_complete or j.status is distinct from 'in_progress')), '{}'),
    coalesce(array_agg(x.id) filter (where c.id is null), '{}'),
    coalesce(array_agg(x.id) filter (
      where c.state = 'held' and (supaqueue.queue_of_worker(c.worker, c.queue)).id is null), '{}')
  into cancelled, gone, unwanted
  from unnest(_calls) as x (id)
  left join supaqueue.current_job c on c.id = x.id and c.run = _run
  left join supaqueue.job j on j.id = c.job;
end
$$;

create or replace function supaqueue.ids(list jsonb)
returns uuid[]
language plpgsql
immutable
set search_path = ''
as $$
begin
  return array(select jsonb_array_elements_text(coalesce(nullif(list, 'null'), '[]'))::uuid);
end
$$;
