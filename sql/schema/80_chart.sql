-- What ended in the last while, one row per step, the oldest first, from hour if the steps are whole hours, else
-- from minute. queue_name null: in all queues. Steps begin at multiples of their length since 2000-01-01 00:00 UTC; the last one holds the present.
create or replace function supaqueue.chart(queue_name text, since interval, step interval)
returns table (
  at timestamptz, started bigint, succeeded bigint, failed bigint, cancelled bigint, retried bigint, wait bigint[], run bigint[]
)
language plpgsql
stable
set search_path = ''
as $$
#variable_conflict use_column
declare
  _queue uuid := case when queue_name is null then '00000000-0000-0000-0000-000000000000' else supaqueue.queue_id(queue_name) end;
  origin constant timestamptz := '2000-01-01 00:00:00+00';
  seconds numeric := extract(epoch from step);
  first_at timestamptz;
  last_at timestamptz;
begin
  if seconds is null or seconds < 60 or seconds % 60 <> 0 or extract(month from step) <> 0 or extract(year from step) <> 0 then
    raise exception 'cannot chart in steps of %', coalesce(step::text, 'null')
      using errcode = 'invalid_parameter_value', hint = 'A step is a number of whole minutes, such as ''5 minutes'' or ''1 day''.';
  elsif since is null or since <= interval '0' or extract(epoch from since) / seconds > 10000 then
    raise exception 'cannot chart % in steps of %', coalesce(since::text, 'null'), step
      using errcode = 'invalid_parameter_value', hint = 'It must be more than nothing, and at most 10000 steps.';
  end if;
  last_at := date_bin(step, now(), origin);
  first_at := last_at - (ceil(extract(epoch from since) / seconds) - 1) * step;
  return query
  select
    first_at + s.number * step, coalesce(m.started, 0), coalesce(m.succeeded, 0), coalesce(m.failed, 0), coalesce(m.cancelled, 0),
    coalesce(m.retried, 0), coalesce(m.wait, array_fill(0::bigint, array[14])), coalesce(m.run, array_fill(0::bigint, array[14]))
  from generate_series(0, ceil(extract(epoch from since) / seconds)::integer - 1) as s (number)
  left join (
    select
      date_bin(step, n.at, origin) as at, sum(n.started) as started, sum(n.succeeded) as succeeded, sum(n.failed) as failed,
      sum(n.cancelled) as cancelled, sum(n.retried) as retried,
      -- One by one: unnesting the histograms takes ten times as long.
      array[sum(n.wait[1]), sum(n.wait[2]), sum(n.wait[3]), sum(n.wait[4]), sum(n.wait[5]), sum(n.wait[6]), sum(n.wait[7]),
        sum(n.wait[8]), sum(n.wait[9]), sum(n.wait[10]), sum(n.wait[11]), sum(n.wait[12]), sum(n.wait[13]), sum(n.wait[14])] as wait,
      array[sum(n.run[1]), sum(n.run[2]), sum(n.run[3]), sum(n.run[4]), sum(n.run[5]), sum(n.run[6]), sum(n.run[7]),
        sum(n.run[8]), sum(n.run[9]), sum(n.run[10]), sum(n.run[11]), sum(n.run[12]), sum(n.run[13]), sum(n.run[14])] as run
    from (
      select m.* from supaqueue.minute m where seconds % 3600 <> 0 and m.queue = _queue and m.at >= first_at
      union all
      select h.* from supaqueue.hour h where seconds % 3600 = 0 and h.queue = _queue and h.at >= first_at
    ) n
    group by 1
  ) m on m.at = first_at + s.number * step
  order by s.number;
end
$$;
comment on function supaqueue.chart is 'What ended in a queue (null: in all) in the last while, in steps such as 1 hour; empty ones too, the oldest first. Percentiles: see supaqueue.percentile()';

-- The value below which a fraction of a histogram of chart() lies, in milliseconds, as if the values between two bounds
-- were spread evenly; the last bound for what is above all; null for an empty histogram.
create or replace function supaqueue.percentile(histogram bigint[], fraction double precision)
returns double precision
language plpgsql
immutable
set search_path = ''
as $$
declare
  bounds constant integer[] := supaqueue.histogram_bounds();
  wanted double precision := least(greatest(fraction, 0), 1) * (select sum(h.number) from unnest(histogram) as h (number));
  below bigint := 0;
  lower integer := 0;
begin
  for i in 1 .. cardinality(bounds) loop
    if histogram[i] > 0 and below + histogram[i] >= wanted then
      return lower + (bounds[i] - lower) * (wanted - below) / histogram[i];
    end if;
    below := below + coalesce(histogram[i], 0);
    lower := bounds[i];
  end loop;
  return case when coalesce(wanted, 0) > 0 or histogram[cardinality(bounds) + 1] > 0 then lower end;
end
$$;
comment on function supaqueue.percentile is 'The value below which a fraction (0.95) of a histogram of supaqueue.chart() lies, in milliseconds, interpolated; null: it is empty';
