-- Checks a schedule, and sets when it is due next: when it is new, when what says so changes, and when
-- a pause ends.
create or replace function supaqueue.before_write_schedule_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  problem text;
  is_other_time boolean := true;
  at timestamptz;
begin
  new.overlap := coalesce(new.overlap, case new.missed when 'all' then 'allow' else 'skip' end);
  problem := case
    when num_nonnulls(new.cron, new.every) <> 1 then
      format('it has %s; give it one of them, such as cron => ''0 3 * * *'' or every => ''10 minutes''',
        case when new.cron is null then 'neither cron nor every' else 'both cron and every' end)
    when new.every < interval '1 second' then 'its every is less than a second'
    when extract(year from new.every) <> 0 or extract(month from new.every) <> 0 then
      'its every has months or years, whose length varies; use cron, such as ''0 0 1 * *'''
  end;
  if problem is not null then
    raise exception 'cannot store the schedule %: %', quote_literal(new.name), problem using errcode = 'invalid_parameter_value';
  end if;
  if tg_op = 'UPDATE' then
    is_other_time := (new.name, new.cron, new.every, new.timezone, new.spread)
      is distinct from (old.name, old.cron, old.every, old.timezone, old.spread);
    if new.is_paused and not is_other_time then
      new.next_at := null;
      return new;
    elsif old.next_at is not null and not is_other_time then
      return new;
    elsif old.is_paused and not new.is_paused then
      -- Failures before the pause do not count.
      new.recent_jobs := '{}';
      new.paused_because := null;
    end if;
  end if;
  new.timezone := supaqueue.timezone_named(new.timezone);
  new.parsed := case when new.cron is not null then supaqueue.parse_cron(new.cron) end;
  at := supaqueue.next_due(new, clock_timestamp());
  if at is null then
    raise exception 'cannot store the schedule %: its cron expression % names a day that does not exist', quote_literal(new.name), quote_literal(new.cron)
      using errcode = 'invalid_parameter_value', hint = 'No month that it names has such a day, as with 30 2 for February 30. For the last day of a month write l: ''0 0 l * *''.';
  end if;
  new.next_at := case when not new.is_paused then at end;
  -- Whatever failed before is tried at the next time.
  perform supaqueue.note_done('schedule', new.id);
  return new;
end
$$;

create or replace trigger before_write_schedule_tg
before insert or update of name, cron, every, timezone, spread, is_paused, missed, overlap on supaqueue.schedule
for each row
execute function supaqueue.before_write_schedule_tg_fn();

-- When a schedule inserts a job next, after a time; null: never.
create or replace function supaqueue.next_due(schedule supaqueue.schedule, _after timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
declare
  delay interval := supaqueue.delay(schedule.name, schedule.spread);
begin
  return delay + supaqueue.next_time(schedule.parsed, schedule.every, schedule.timezone, _after - delay);
end
$$;

-- How much later than its times a schedule inserts its jobs.
create or replace function supaqueue.delay(name text, spread interval)
returns interval
language plpgsql
immutable
set search_path = ''
as $$
begin
  return ('x' || left(md5(name), 8))::bit(32)::bigint % greatest(extract(epoch from spread)::bigint, 1) * interval '1 second';
end
$$;

-- The name of a time zone as Postgres writes it. Forms such as UTC+2, which Postgres accepts, and
-- counts in the other direction, are refused.
create or replace function supaqueue.timezone_named(timezone text)
returns text
language plpgsql
set search_path = ''
as $$
declare
  found_name text;
begin
  -- The view reads hundreds of files. Not "stable": that would not see the rows of the same statement.
  if timezone = 'UTC' or exists (select from supaqueue.schedule s where s.timezone = timezone_named.timezone) then
    return timezone;
  end if;
  select z.name into found_name
  from pg_catalog.pg_timezone_names z
  where lower(z.name) = lower(timezone_named.timezone)
  limit 1;
  if found_name is null then
    raise exception 'there is no time zone named %', coalesce(quote_literal(timezone), 'null')
      using errcode = 'invalid_parameter_value',
        hint = 'Names are like UTC or Europe/Berlin: select name from pg_timezone_names order by name.';
  end if;
  return found_name;
end
$$;
