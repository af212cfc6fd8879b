-- When a schedule is due. Cron is walked in local time from one change of the clocks to the next:
--
-- A time that the clocks skip is due when the gap ends, and one that comes twice is due the first time.
-- But an expression whose minute or hour begins with * goes by elapsed time: what the clocks skip is
-- left out, and what comes twice is due twice.

-- The first time after _after; null: there is none. Without cron, every so often.
--
-- The work is bounded: it looks at two days at a time, and skips those before the next day that
-- matches.
create or replace function supaqueue.next_time(cron bigint[], every interval, timezone text, _after timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
declare
  seconds numeric := extract(epoch from every);
  -- Early enough to know whether the local time at _after comes a second time.
  at timestamptz := _after - interval '25 hours';
  until timestamptz;
  utc_offset interval;
  next_offset interval;
  local_end timestamp;
  seen timestamp := '-infinity';
  match timestamp;
begin
  if cron is null then
    return to_timestamp(((floor(extract(epoch from _after) / seconds) + 1) * seconds)::double precision);
  end if;
  utc_offset := supaqueue.utc_offset(timezone, at);
  for i in 1 .. 1000 loop
    until := at + interval '48 hours';
    next_offset := supaqueue.utc_offset(timezone, until);
    if next_offset <> utc_offset then
      until := supaqueue.clock_change(timezone, at, until);
      next_offset := supaqueue.utc_offset(timezone, until);
    end if;
    local_end := until at time zone 'UTC' + utc_offset;
    if until > _after then
      match := supaqueue.next_match(cron, greatest(
        greatest(at, _after + interval '1 microsecond') at time zone 'UTC' + utc_offset,
        case when cron[7] = 0 then seen end));
      if match is null then
        return null;
      elsif match < local_end then
        return (match - utc_offset) at time zone 'UTC';
      elsif cron[7] = 0 and match < local_end + (next_offset - utc_offset) then
        return until;
      end if;
    end if;
    seen := greatest(seen, local_end);
    at := case
      when next_offset = utc_offset and match > local_end + interval '72 hours'
      then until + (match - local_end - interval '48 hours')
      else until
    end;
    utc_offset := case when at = until then next_offset else supaqueue.utc_offset(timezone, at) end;
  end loop;
  return null;
end
$$;

create or replace function supaqueue.utc_offset(timezone text, at timestamptz)
returns interval
language plpgsql
stable
set search_path = ''
as $$
begin
  return at at time zone timezone - at at time zone 'UTC';
end
$$;

-- When the clocks change first between two times with different offsets.
create or replace function supaqueue.clock_change(timezone text, _after timestamptz, _until timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
declare
  low bigint := floor(extract(epoch from _after));
  high bigint := ceil(extract(epoch from _until));
  middle bigint;
  utc_offset interval := supaqueue.utc_offset(timezone, _after);
begin
  while high - low > 1 loop
    middle := (low + high) / 2;
    if supaqueue.utc_offset(timezone, to_timestamp(middle)) = utc_offset then
      low := middle;
    else
      high := middle;
    end if;
  end loop;
  return to_timestamp(high);
end
$$;

-- The last time up to _until; _known is one of the times before.
create or replace function supaqueue.last_time(
  cron bigint[], every interval, timezone text, _known timestamptz, _until timestamptz
)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
declare
  last timestamptz := _known;
  later timestamptz := _until;
  span interval := interval '1 minute';
  middle timestamptz;
  at timestamptz;
begin
  while _until - span > last loop
    at := supaqueue.next_time(cron, every, timezone, _until - span);
    if at <= _until then
      last := at;
    else
      later := _until - span;
      span := span * 2;
    end if;
  end loop;
  -- The last time is one of those from last to later.
  loop
    at := supaqueue.next_time(cron, every, timezone, last);
    exit when at is null or at > _until;
    last := at;
    middle := last + (later - last) / 2;
    at := supaqueue.next_time(cron, every, timezone, middle);
    if at <= _until then
      last := at;
    else
      later := middle;
    end if;
  end loop;
  return last;
end
$$;

-- How many times there are from _first to _last. In days on which the clocks change, as on others.
create or replace function supaqueue.count_times(
  cron bigint[], every interval, timezone text, _first timestamptz, _last timestamptz
)
returns bigint
language plpgsql
stable
set search_path = ''
as $$
declare
  first timestamp := _first at time zone timezone;
  last timestamp := _last at time zone timezone;
begin
  if cron is null then
    return round(extract(epoch from _last - _first) / extract(epoch from every)) + 1;
  end if;
  return (
    select coalesce(sum(supaqueue.matches_before(cron,
      case when d.day = date_trunc('day', last) then last + interval '1 minute' - d.day else interval '24 hours' end)
      - case when d.day = date_trunc('day', first) then supaqueue.matches_before(cron, first - d.day) else 0 end), 0)
    from generate_series(date_trunc('day', first), last, '1 day') as d (day)
    where supaqueue.cron_days(cron, date_trunc('month', d.day)) >> extract(day from d.day)::integer & 1 = 1
  );
end
$$;

-- How many times of a day that matches are before a time of day.
create or replace function supaqueue.matches_before(cron bigint[], _time interval)
returns bigint
language plpgsql
immutable
set search_path = ''
as $$
declare
  hour integer := extract(epoch from _time)::integer / 3600;
  minute integer := extract(epoch from _time)::integer / 60 % 60;
begin
  return bit_count((cron[2] & (1::bigint << hour) - 1)::bit(64)) * bit_count(cron[1]::bit(64))
    + (cron[2] >> hour & 1) * bit_count((cron[1] & (1::bigint << minute) - 1)::bit(64));
end
$$;
