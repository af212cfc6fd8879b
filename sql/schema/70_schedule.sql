-- Creates a schedule, or changes the one of that name: what is not given gets its default, and a pause
-- stays. Returns when it inserts a job next; null: it is paused.
create or replace function supaqueue.schedule(
  name text,
  queue_name text,
  cron text default null,
  every interval default null,
  timezone text default 'UTC',
  payload jsonb default '{}',
  headers jsonb default null,
  priority integer default 0,
  path text default null,
  timeout_ms integer default null,
  max_attempts integer default null,
  key text default null,
  missed text default 'last',
  catch_up_within interval default '1 day',
  overlap text default null,
  spread interval default '0',
  pause_after_failures integer default null,
  tenant text default null
)
returns timestamptz
language plpgsql
set search_path = ''
as $$
#variable_conflict use_column
declare
  due timestamptz;
begin
  insert into supaqueue.schedule as s (
    name, queue, cron, every, timezone, payload, headers, priority, path, timeout_ms, max_attempts, key,
    missed, catch_up_within, overlap, spread, pause_after_failures, tenant)
  values (
    schedule.name, supaqueue.queue_id(queue_name), schedule.cron, schedule.every, schedule.timezone, schedule.payload,
    schedule.headers, schedule.priority, schedule.path, schedule.timeout_ms, schedule.max_attempts, schedule.key,
    schedule.missed, schedule.catch_up_within, schedule.overlap, schedule.spread, schedule.pause_after_failures,
    schedule.tenant)
  on conflict (name) do update set
    queue = excluded.queue, cron = excluded.cron, every = excluded.every, timezone = excluded.timezone,
    payload = excluded.payload, headers = excluded.headers, priority = excluded.priority, path = excluded.path,
    timeout_ms = excluded.timeout_ms, max_attempts = excluded.max_attempts, key = excluded.key, missed = excluded.missed,
    catch_up_within = excluded.catch_up_within, overlap = excluded.overlap, spread = excluded.spread,
    pause_after_failures = excluded.pause_after_failures, tenant = excluded.tenant
  returning s.next_at into due;
  return due;
end
$$;
comment on function supaqueue.schedule is 'Creates or changes the schedule of that name, which inserts jobs by cron or every so often; returns when it does so next';

-- Deletes a schedule; its jobs stay. Returns whether there was one.
create or replace function supaqueue.unschedule(name text)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  delete from supaqueue.schedule s where s.name = unschedule.name;
  return found;
end
$$;
comment on function supaqueue.unschedule is 'Deletes the schedule of that name, not its jobs; returns whether there was one';

-- The schedule of that name, or an error that says what to do.
create or replace function supaqueue.schedule_named(name text)
returns supaqueue.schedule
language plpgsql
set search_path = ''
as $$
declare
  schedule supaqueue.schedule;
begin
  select s.* into schedule from supaqueue.schedule s where s.name = schedule_named.name;
  if schedule.id is null then
    raise exception 'there is no schedule named %', coalesce(quote_literal(name), 'null')
      using errcode = 'no_data_found', hint = 'Those there are: select name from supaqueue.schedule.';
  end if;
  return schedule;
end
$$;

-- The next times of a cron expression, to be looked at before it is used.
create or replace function supaqueue.next_times(
  cron text, timezone text default 'UTC', n integer default 5, after timestamptz default now()
)
returns setof timestamptz
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  parsed bigint[] := supaqueue.parse_cron(cron);
  at timestamptz := after;
begin
  timezone := supaqueue.timezone_named(timezone);
  for i in 1 .. least(n, 10000) loop
    at := supaqueue.next_time(parsed, null, timezone, at);
    exit when at is null;
    return next at;
  end loop;
end
$$;
comment on function supaqueue.next_times is 'The next times of a cron expression in a time zone: look at them before you use it';
