-- Cron expressions, as Vixie cron reads them. Parsed, they are an array of bits: minutes, hours, days
-- of the month (bit 0: the last one), months, days of the week (bit 0: Sunday); then 1 if a day matches when either of its
-- two fields does, and 1 if the expression goes by elapsed time when clocks change (see next_time).

create or replace function supaqueue.refuse_cron(expression text, problem text, remedy text default null)
returns void
language plpgsql
set search_path = ''
as $$
begin
  raise exception 'cannot read the cron expression %: %', coalesce(quote_literal(expression), 'null'), problem
    using errcode = 'invalid_parameter_value', hint = coalesce(remedy || ' ', '')
      || 'Fields: minute hour day-of-month month day-of-week. ''30 3 * * mon-fri'' is 3:30 from Monday to Friday; see select supaqueue.next_times(''30 3 * * mon-fri'', ''Europe/Berlin'');';
end
$$;

-- Both day fields restrict the day: one of them is enough. A field that begins with * (also */2) does
-- not restrict in this sense, and then both must match.
create or replace function supaqueue.parse_cron(expression text)
returns bigint[]
language plpgsql
immutable
set search_path = ''
as $$
declare
  text_of text := lower(regexp_replace(expression, '^\s+|\s+$', '', 'g'));
  fields text[] := regexp_split_to_array(case text_of
    when '@hourly' then '0 * * * *'
    when '@daily' then '0 0 * * *'
    when '@midnight' then '0 0 * * *'
    when '@weekly' then '0 0 * * 0'
    when '@monthly' then '0 0 1 * *'
    when '@yearly' then '0 0 1 1 *'
    when '@annually' then '0 0 1 1 *'
    else text_of
  end, '\s+');
  parsed bigint[];
begin
  if text_of ~ '^@' and cardinality(fields) <> 5 then
    perform supaqueue.refuse_cron(expression, format('%s is not known', text_of),
      'Known are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually; for every so many minutes or seconds, use every, such as every => ''10 minutes''.');
  elsif cardinality(fields) is distinct from 5 or text_of = '' then
    perform supaqueue.refuse_cron(expression, format('it has %s fields, not 5', case when text_of = '' then 0 else cardinality(fields) end),
      case when cardinality(fields) = 6 then 'Seconds have no field: use every, such as every => ''10 seconds''.' end);
  end if;
  parsed := array[
    supaqueue.parse_cron_field(expression, fields[1], 'minute', 0, 59, '{}'),
    supaqueue.parse_cron_field(expression, fields[2], 'hour', 0, 23, '{}'),
    supaqueue.parse_cron_field(expression, fields[3], 'day of the month', 1, 31, '{}'),
    supaqueue.parse_cron_field(expression, fields[4], 'month', 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}'),
    supaqueue.parse_cron_field(expression, fields[5], 'day of the week', 0, 7, '{sun,mon,tue,wed,thu,fri,sat}'),
    (fields[3] !~ '^\*' and fields[5] !~ '^\*')::integer,
    (fields[1] ~ '^\*' or fields[2] ~ '^\*')::integer
  ];
  -- 7 is Sunday, too.
  parsed[5] := (parsed[5] | (parsed[5] >> 7)) & 127;
  return parsed;
end
$$;

create or replace function supaqueue.parse_cron_field(
  expression text, field text, field_name text, low integer, high integer, names text[]
)
returns bigint
language plpgsql
immutable
set search_path = ''
as $$
declare
  bits bigint := 0;
  item text;
  part text[];
  first integer;
  last integer;
  step integer;
  problem text;
  remedy text;
begin
  foreach item in array string_to_array(field, ',') loop
    if item in ('l', '$') and field_name = 'day of the month' then
      bits := bits | 1;
      continue;
    end if;
    part := regexp_match(item, '^(\*|([0-9a-z]{1,9})(-([0-9a-z]{1,9}))?)(/([0-9]{1,4}))?$');
    first := case when part[1] = '*' then low else supaqueue.cron_number(part[2], low, names) end;
    last := case when part[1] = '*' then high when part[4] is null then first else supaqueue.cron_number(part[4], low, names) end;
    step := coalesce(part[6]::integer, 1);
    if high = 7 and last = 0 and first > 0 then
      last := 7;
    end if;
    if first is null or last is null then
      problem := format('has %s, which is not a number%s, a range (%s), * or a step (*/%s)', quote_literal(item),
        case when names <> '{}' then format(' or a name (%s)', names[2]) end,
        case when names <> '{}' then names[2] || '-' || names[4] else '5-10' end, least(high, 15) / 3);
    elsif first not between low and high or last not between low and high then
      problem := format('has %s, which is not between %s and %s', quote_literal(item), low, high);
    elsif first > last then
      problem := format('has %s, a range that ends before it begins', quote_literal(item));
      remedy := format('Write two ranges: %s-%s,%s-%s.', first, high, low, last);
    elsif part[6] is not null and step not between 1 and high then
      problem := format('has %s, a step that is not between 1 and %s', quote_literal(item), high);
      remedy := 'For longer times than a field has, use every, such as every => ''90 minutes''.';
    elsif part[6] is not null and part[1] <> '*' and part[4] is null then
      problem := format('has %s, a step without a range', quote_literal(item));
      remedy := format('Write %s-%s/%s.', first, high, step);
    end if;
    if problem is not null then
      perform supaqueue.refuse_cron(expression, format('its %s %s', field_name, problem), remedy);
    end if;
    for value in 0 .. (last - first) / step loop
      bits := bits | (1::bigint << first + value * step);
    end loop;
  end loop;
  return bits;
end
$$;

create or replace function supaqueue.cron_number(value text, low integer, names text[])
returns integer
language plpgsql
immutable
set search_path = ''
as $$
begin
  return case when value ~ '^[0-9]+$' then value::integer else array_position(names, value) + low - 1 end;
end
$$;

-- The number of the first bit of a mask from _from on; null: there is none.
create or replace function supaqueue.first_bit(mask bigint, _from integer)
returns integer
language plpgsql
immutable
set search_path = ''
as $$
begin
  mask := mask >> _from << _from;
  return 64 - nullif(position(B'1' in (mask & -mask)::bit(64)), 0);
end
$$;

-- The days of a month that match, as bits: bit 1 for the first.
create or replace function supaqueue.cron_days(cron bigint[], month timestamp)
returns bigint
language plpgsql
immutable
set search_path = ''
as $$
declare
  length integer := extract(day from month + interval '1 month' - interval '1 day');
  -- The days of the week, repeated, and moved so that bit 1 is the first day of the month.
  weekdays bigint := (cron[5] * 4432676798593) >> extract(dow from month)::integer << 1;
  days bigint := cron[3] | ((cron[3] & 1) << length);
begin
  if cron[4] >> extract(month from month)::integer & 1 = 0 then
    return 0;
  end if;
  return case cron[6] when 1 then days | weekdays else days & weekdays end & ((1::bigint << length + 1) - 2);
end
$$;

-- The first local time that matches, from _from on; null: there is none in 41 years.
create or replace function supaqueue.next_match(cron bigint[], _from timestamp)
returns timestamp
language plpgsql
immutable
set search_path = ''
as $$
declare
  at timestamp := date_trunc('minute', _from + interval '59.999999 seconds');
  month timestamp := date_trunc('month', at);
  _day integer := extract(day from at);
  _hour integer := extract(hour from at);
  _minute integer := extract(minute from at);
  days bigint;
  day integer;
  hour integer;
  minute integer;
begin
  for i in 0 .. 492 loop
    days := supaqueue.cron_days(cron, month);
    day := supaqueue.first_bit(days, _day);
    while day is not null loop
      if day > _day then
        _hour := 0;
        _minute := 0;
      end if;
      hour := supaqueue.first_bit(cron[2], _hour);
      minute := supaqueue.first_bit(cron[1], case when hour = _hour then _minute else 0 end);
      if minute is null then
        hour := supaqueue.first_bit(cron[2], hour + 1);
        minute := supaqueue.first_bit(cron[1], 0);
      end if;
      if hour is not null then
        return month + make_interval(days => day - 1, hours => hour, mins => minute);
      end if;
      day := supaqueue.first_bit(days, day + 1);
    end loop;
    month := month + interval '1 month';
    _day := 1;
    _hour := 0;
    _minute := 0;
  end loop;
  return null;
end
$$;
