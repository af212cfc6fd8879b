-- Inserts a job of a schedule now, whether it is due or paused; returns the job. With overlap skip and
-- replace: that of the job which has not ended, if there is one.
create or replace function supaqueue.run_schedule(name text)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
  schedule supaqueue.schedule := supaqueue.schedule_named(name);
  job uuid := supaqueue.insert_scheduled_job(schedule, clock_timestamp(), clock_timestamp(), schedule.overlap, supaqueue.new_id());
begin
  if job is null then
    return (supaqueue.holder_of(schedule.queue, supaqueue.key_of(schedule))).job;
  end if;
  update supaqueue.schedule s
  set last_job = job, recent_jobs = supaqueue.recent_jobs(array[job], s.recent_jobs)
  where s.id = schedule.id;
  return job;
end
$$;
comment on function supaqueue.run_schedule is 'Inserts a job of the schedule of that name now, once; returns it, or its job that has not ended';

-- Inserts the jobs of past times, "from" included and "to" not; returns those that it inserted. A time
-- whose job there is, is left out. Overlap does not matter.
create or replace function supaqueue.backfill(name text, "from" timestamptz, "to" timestamptz default now())
returns setof uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
  schedule supaqueue.schedule := supaqueue.schedule_named(name);
  until timestamptz := least("to", clock_timestamp());
  at timestamptz := "from" - interval '1 microsecond';
  times timestamptz[] := '{}';
begin
  loop
    at := supaqueue.next_time(schedule.parsed, schedule.every, schedule.timezone, at);
    exit when at is null or at >= until;
    times := times || at;
    if cardinality(times) > 1000 then
      raise exception 'cannot insert more than 1000 jobs of the schedule % at once', quote_literal(name)
        using errcode = 'program_limit_exceeded', hint = format('The first 1000 are those before %s.', at);
    end if;
  end loop;
  return query
  select j.job
  from unnest(times) with ordinality as t (at, number)
  cross join lateral supaqueue.insert_scheduled_job(schedule, t.at, clock_timestamp(), 'allow') as j (job)
  where j.job is not null
  order by t.number;
end
$$;
comment on function supaqueue.backfill is 'Inserts the jobs of past times of a schedule that have none, at most 1000; returns their ids';
