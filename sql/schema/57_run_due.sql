-- Inserts the jobs of schedules that are due, and moves their next_at in the same transaction. So a
-- time is neither lost nor served twice, also when two do this at once, or one of them crashes.

-- Does so for the schedules of a queue (null: of all), at most 50; returns whether there may be more.
-- Each fails alone.
create or replace function supaqueue.run_schedules(_queue uuid default null)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  schedules uuid[] := supaqueue.due_schedules(_queue, 50);
begin
  perform supaqueue.run_step('schedule', s.id) from unnest(schedules) as s (id);
  return cardinality(schedules) = 50;
end
$$;

create or replace function supaqueue.due_schedules(_queue uuid, _limit integer)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
begin
  if _queue is null then
    return array(
      select s.id from supaqueue.schedule s
      where s.next_at <= at and not supaqueue.is_put_off('schedule', s.id)
      order by s.next_at
      limit _limit
    );
  end if;
  return array(
    select s.id from supaqueue.schedule s
    where s.queue = _queue and s.next_at <= at and not supaqueue.is_put_off('schedule', s.id)
    order by s.next_at
    limit _limit
  );
end
$$;

-- Does so for one schedule. Of the times that were missed it takes those that it is to catch up, the
-- last 100 at most; it does not walk over the others.
create or replace function supaqueue.run_due(_schedule uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
  schedule supaqueue.schedule := supaqueue.lock_due_schedule(_schedule, at);
  delay interval := supaqueue.delay(schedule.name, schedule.spread);
  first timestamptz := schedule.next_at - delay;
  last timestamptz := first;
  next timestamptz := supaqueue.next_time(schedule.parsed, schedule.every, schedule.timezone, first);
  -- Two minutes are no outage: the tick may be late.
  catch_up_within interval := case
    when schedule.missed = 'none' then interval '2 minutes'
    when schedule.catch_up_within is not null then greatest(schedule.catch_up_within, interval '2 minutes')
  end;
  times timestamptz[] := '{}';
  times_count bigint := 1;
  jobs uuid[] := '{}';
  job uuid;
  skipped integer := 0;
begin
  if schedule.id is null then
    return;
  elsif schedule.pause_after_failures is not null and supaqueue.failures_in_a_row(schedule) is not null then
    update supaqueue.schedule s
    set is_paused = true, paused_because = supaqueue.failures_in_a_row(schedule)
    where s.id = schedule.id;
    return;
  end if;
  if next <= at - delay then
    last := supaqueue.last_time(schedule.parsed, schedule.every, schedule.timezone, next, at - delay);
    times_count := supaqueue.count_times(schedule.parsed, schedule.every, schedule.timezone, first, last);
    next := supaqueue.next_time(schedule.parsed, schedule.every, schedule.timezone, last);
  end if;
  if next is null then
    raise exception 'its cron expression % has no next time', quote_literal(schedule.cron) using errcode = 'invalid_parameter_value';
  end if;

  while coalesce(last + delay >= at - catch_up_within, true) loop
    times := last || times;
    exit when last = first or cardinality(times) = case schedule.missed when 'all' then 100 else 1 end;
    last := supaqueue.last_time(schedule.parsed, schedule.every, schedule.timezone, first, last - interval '1 microsecond');
  end loop;
  last := schedule.last_at;
  for i in 1 .. cardinality(times) loop
    job := supaqueue.insert_scheduled_job(schedule, times[i], times[i] + delay, schedule.overlap);
    if job is null then
      skipped := skipped + 1;
    else
      jobs := job || array_remove(jobs, job);
      last := times[i];
    end if;
  end loop;

  update supaqueue.schedule s
  set next_at = next + delay,
    last_at = last,
    last_job = coalesce(jobs[1], s.last_job),
    recent_jobs = supaqueue.recent_jobs(jobs, s.recent_jobs),
    missed_count = s.missed_count + greatest(times_count - cardinality(times), 0),
    skipped_count = s.skipped_count + skipped
  where s.id = schedule.id;
end
$$;

-- The last 50 jobs of a schedule, the newest first.
create or replace function supaqueue.recent_jobs(jobs uuid[], before uuid[])
returns uuid[]
language plpgsql
immutable
set search_path = ''
as $$
begin
  return (jobs || array(
    select b.id from unnest(before) with ordinality as b (id, number) where b.id <> all (jobs) order by b.number
  ))[:50];
end
$$;

create or replace function supaqueue.lock_due_schedule(_schedule uuid, _at timestamptz)
returns supaqueue.schedule
language plpgsql
set search_path = ''
as $$
declare
  schedule supaqueue.schedule;
begin
  select s.* into schedule from supaqueue.schedule s where s.id = _schedule and s.next_at <= _at for no key update skip locked;
  return schedule;
end
$$;

-- That the last jobs of a schedule failed, as many as pause it; else null. Those that have not ended,
-- or were cancelled, do not count.
create or replace function supaqueue.failures_in_a_row(schedule supaqueue.schedule)
returns text
language plpgsql
set search_path = ''
as $$
begin
  return (
    select format('its last %s jobs failed, the last one with: %s', count(*), left((array_agg(j.message order by j.number))[1], 500))
    from (
      select r.number, j.ended_as, coalesce(j.errors -> -1 ->> 'message', 'no reason') as message
      from unnest(schedule.recent_jobs) with ordinality as r (id, number)
      join supaqueue.job j on j.id = r.id
      where j.ended_as in ('failed', 'successful')
      order by r.number
      limit schedule.pause_after_failures
    ) j
    having count(*) = schedule.pause_after_failures and bool_and(j.ended_as = 'failed')
  );
end
$$;
