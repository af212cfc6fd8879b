-- Starts the next jobs of queues on their free workers: worker locked, job in_progress with one more
-- attempt, a current_job for both. All calls are inserted, and thus sent, at once, or belong to a run
-- (_run, in its pulse _number), which has room for that many. Returns their ids.
--
-- Call it with the queues' locks held, those of _exclusive exclusively.
create or replace function supaqueue.start_jobs(
  _queues uuid[], _exclusive uuid[], _run uuid default null, _number integer default null, room jsonb default '{}'
)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  _queue uuid;
  next_jobs uuid[];
  free_workers uuid[];
  taken uuid[];
  queues uuid[] := '{}';
  workers uuid[] := '{}';
  jobs uuid[] := '{}';
  calls uuid[];
begin
  for _queue in select distinct unnest(_queues) order by 1 loop
    continue when exists (select from supaqueue.deleted_worker d where d.queue = _queue)
      and (_queue <> all (_exclusive) or supaqueue.adopt_calls(_queue));
    -- Again where jobs were put aside: others may take their place.
    for attempt in 1 .. 10 loop
      next_jobs := supaqueue.next_jobs(_queue, least(
        supaqueue.free_workers(_queue), (room ->> 'calls')::integer - cardinality(jobs)));
      if _run is not null then
        next_jobs := (supaqueue.jobs_that_fit(jobs || next_jobs, room))[cardinality(jobs) + 1:];
      end if;
      exit when next_jobs = '{}';
      free_workers := supaqueue.lock_workers(_queue, cardinality(next_jobs));
      next_jobs := next_jobs[1:cardinality(free_workers)];
      taken := supaqueue.take_jobs(next_jobs);
      free_workers := free_workers[1:cardinality(taken)];
      perform supaqueue.set_locked(free_workers, true);
      queues := queues || array_fill(_queue, array[cardinality(taken)]);
      workers := workers || free_workers;
      jobs := jobs || taken;
      exit when cardinality(taken) = cardinality(next_jobs);
    end loop;
  end loop;
  if jobs = '{}' then
    return '{}';
  end if;
  with added as (
    insert into supaqueue.current_job (queue, worker, job, state, run, claimed_in, lease_until)
    select
      call.queue, call.worker, call.job, case when _run is null then 'sent' else 'started' end, _run, _number,
      case when _run is null then clock_timestamp() + supaqueue.ms(s.dispatch_lease_ms) end
    from unnest(queues, workers, jobs) with ordinality as call (queue, worker, job, number)
    cross join supaqueue.settings() s
    order by call.number
    returning id, created_at
  )
  select array_agg(a.id order by a.created_at, a.id) into calls from added a;
  return calls;
end
$$;

-- The same as start_jobs, but never fails: the jobs stay ready, and the reason is noted, for problem and
-- the tick.
create or replace function supaqueue.try_start_jobs(_queues uuid[], _exclusive uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  remedy text;
begin
  perform supaqueue.start_jobs(_queues, _exclusive);
  perform supaqueue.note_start(_queues);
exception
  when others then
    get stacked diagnostics remedy = pg_exception_hint;
    raise warning 'supaqueue could not start jobs: %', sqlerrm
      using hint = ltrim(remedy || ' They stay pending and are started later.'), errcode = sqlstate;
    perform supaqueue.note_unfinished('start', d.queue, null, sqlstate, sqlerrm) from unnest(_queues) as d (queue);
end
$$;

-- Takes what was noted about queues in which jobs start again out of problem. The tick still looks at
-- them, and deletes the notes.
create or replace function supaqueue.note_start(_queues uuid[])
returns void
language plpgsql
set search_path = ''
as $$
begin
  if exists (
    select from supaqueue.unfinished u
    where u.queue = any (_queues) and u.step = 'start' and u.job is null and u.message is not null
  ) and current_setting('transaction_isolation') = 'read committed' then
    update supaqueue.unfinished u
    set message = null, retry_at = clock_timestamp()
    where u.id = any (array(
      select n.id from supaqueue.unfinished n
      where n.queue = any (_queues) and n.step = 'start' and n.job is null
      for update skip locked
    ));
  end if;
end
$$;

-- How many workers of a queue are free; 0 while the queue is paused.
create or replace function supaqueue.free_workers(_queue uuid)
returns integer
language plpgsql
set search_path = ''
as $$
begin
  return (
    select count(*)
    from supaqueue.worker w
    where w.queue = _queue and not w.locked
      and not (select q.is_paused from supaqueue.queue q where q.id = _queue)
  );
end
$$;

-- "skip locked" can wait: see next_jobs.
create or replace function supaqueue.lock_workers(_queue uuid, _limit integer)
returns uuid[]
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
begin
  return array(
    select w.id from supaqueue.worker w
    where w.queue = _queue and not w.locked
    order by w.id
    limit _limit
    for no key update skip locked
  );
end
$$;

-- Locks or unlocks workers, except those that somebody else is deleting or moving just now. If that is rolled
-- back, the tick unlocks them.
create or replace function supaqueue.set_locked(_workers uuid[], _locked boolean)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update supaqueue.worker w
  set locked = _locked
  from (
    select l.id from supaqueue.worker l where l.id = any (_workers) for no key update skip locked
  ) l
  where w.id = l.id;
end
$$;
