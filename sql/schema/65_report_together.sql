-- Settles the jobs of several calls that a run reports in one request, and gives it the jobs to be held
-- ready next. Each step is one statement for all of them, which takes a third of the time of as many reports.
--
-- It takes what a busy queue reports most: the success of a lane that has begun the call that was held
-- ready behind it, and wants another one. There it does what report does for each. Returns the answers in the order of
-- the reports; null for one that has to be sent alone: it is of another kind, was sent before, or somebody
-- has locked its job. If anything fails, a trigger of the user's for example, nothing is settled, and each has
-- to be sent alone.
create or replace function supaqueue.report_together(_run uuid, _reports jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  locked record;
  records jsonb[];
  answers jsonb := '{}';
begin
  if supaqueue.is_alive(_run) then
    for locked in select l.* from supaqueue.lock_calls_to_report(_run, _reports) l loop
      perform supaqueue.settle_successes(locked.jobs, locked.reports);
      records := supaqueue.hold_next_jobs(
        locked.queue, _run, locked.calls, locked.workers, locked.held, locked.reports[:locked.to_follow]);
      answers := answers || (
        select jsonb_object_agg(a.call, supaqueue.answer('settled', held_record => a.record))
        from unnest(locked.calls, records) as a (call, record)
      );
    end loop;
  end if;
  return (
    select jsonb_agg(answers -> (r.report ->> 'cur_job_id') order by r.number)
    from jsonb_array_elements(_reports) with ordinality as r (report, number)
  );
end
$$;

-- Locks the calls of reports that can be settled together, and their jobs, and returns them by queue. Another call
-- may follow the first to_follow of them: their worker is still there, and the queue is not paused.
-- held: the calls that were held ready behind them, and have begun. "skip locked" can wait: see next_jobs.
create or replace function supaqueue.lock_calls_to_report(_run uuid, _reports jsonb)
returns table (
  queue supaqueue.queue, calls uuid[], workers uuid[], jobs uuid[], held uuid[], reports jsonb[], to_follow integer
)
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
begin
  return query
  select
    q, array_agg(l.id order by l.place), array_agg(l.worker order by l.place), array_agg(l.job order by l.place),
    array_agg(l.held order by l.place), array_agg(l.report order by l.place),
    (count(*) filter (where l.has_worker and not q.is_paused))::integer
  from (
    select
      c.*, r.report -> '_report' || jsonb_build_object('next', r.report -> '_next') as report, w.id is not null as has_worker,
      row_number() over (order by w.id is null, r.number) as place
    from jsonb_array_elements(_reports) with ordinality as r (report, number)
    cross join lateral (
      select o.id, o.queue, o.worker, o.job, o.held from supaqueue.current_job o
      where o.id = (r.report ->> 'cur_job_id')::uuid and o.run = _run and not o.is_complete
        and o.held = (r.report #>> '{_report,started,0}')::uuid
      for update skip locked
    ) c
    cross join lateral (
      select from supaqueue.current_job h where h.id = c.held for update skip locked
    ) h
    cross join lateral (
      select from supaqueue.job j where j.id = c.job and j.status = 'in_progress' for no key update skip locked
    ) j
    left join supaqueue.worker w on w.id = c.worker and w.queue = c.queue
    where r.report -> '_is_successful' = 'true' and r.report -> '_next' -> 'prefetch' = 'true'
  ) l
  join supaqueue.queue q on q.id = l.queue
  group by q.id
  order by q.id;
end
$$;

-- Sets jobs, which are locked and in progress, to successful. The statement is planned each time: a plan
-- that was made for a small table would read the whole of a large one, and settings against that would be seen
-- by users' triggers (see plan_settings).
create or replace function supaqueue.settle_successes(_jobs uuid[], reports jsonb[])
returns void
language plpgsql
set search_path = public, extensions
as $$
declare
  settled integer;
begin
  execute $sql$
    update supaqueue.job j
    set status = 'successful', http_status = (r.report ->> 'http_status')::integer,
      duration_ms = (r.report ->> 'duration_ms')::integer, result = r.report -> 'result'
    from unnest($1, $2) as r (id, report)
    where j.id = r.id
  $sql$ using _jobs, reports;
  get diagnostics settled = row_count;
  if settled < cardinality(_jobs) then
    perform supaqueue.refuse_skipped_update();
  end if;
end
$$;

-- Ends calls. The first of them, as many as there are reports, are followed by the next jobs of the queue,
-- which are held ready behind the calls that were held so far. Returns their records.
create or replace function supaqueue.hold_next_jobs(
  queue supaqueue.queue, _run uuid, calls uuid[], workers uuid[], _held uuid[], reports jsonb[]
)
returns jsonb[]
language plpgsql
set search_path = ''
as $$
declare
  started_at timestamptz := clock_timestamp();
  room jsonb;
  jobs uuid[];
  is_slow boolean;
  new_calls uuid[];
  records jsonb[];
begin
  select jsonb_build_object(
    'calls', count(*), 'within_ms', min((r.report #> '{next,within_ms}')::numeric), 'bytes', sum((r.report #> '{next,bytes}')::numeric))
  into room
  from unnest(reports) as r (report);
  jobs := supaqueue.jobs_that_fit(supaqueue.next_jobs(queue.id, cardinality(reports)), room, to_hold => true);
  is_slow := clock_timestamp() > started_at + interval '5 milliseconds';
  records := supaqueue.take_together(jobs);
  new_calls := array(select supaqueue.new_id() from unnest(jobs));
  insert into supaqueue.current_job (id, queue, worker, job, state, run, previous, behind)
  select n.id, queue.id, n.worker, n.job, 'held', _run, n.previous, n.behind
  from unnest(new_calls, workers, jobs, calls, _held) as n (id, worker, job, previous, behind)
  where n.id is not null;
  perform supaqueue.replace_calls(calls, _held, new_calls);
  if is_slow or random() < 0.01 * cardinality(jobs) then
    perform supaqueue.try_move_front(queue.id, jobs[1]);
  end if;
  return array(
    select supaqueue.record_of(n.id, n.record, queue)
    from unnest(new_calls, records) with ordinality as n (id, record, number)
    order by n.number
  );
end
$$;

-- Deletes calls, and notes that those held behind them have begun, and which ones are held behind these now.
create or replace function supaqueue.replace_calls(calls uuid[], _held uuid[], new_calls uuid[])
returns void
language plpgsql
set search_path = ''
as $$
begin
  delete from supaqueue.current_job c where c.id = any (calls);
  update supaqueue.current_job c
  set state = 'started', held = n.held
  from unnest(_held, new_calls) as n (id, held)
  where c.id = n.id;
end
$$;
