-- The upper bounds of the histograms in minute, in milliseconds. A histogram has one more number, of what
-- is above.
create or replace function supaqueue.histogram_bounds()
returns integer[]
language sql
immutable
parallel safe
set search_path = ''
as $$
  select array[10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 150000]
$$;
comment on function supaqueue.histogram_bounds is 'The upper bounds of the histograms of supaqueue.minute and supaqueue.chart(), in milliseconds; the last number of a histogram is of what is above all';

-- The histogram of some places in it, such as width_bucket returns.
create or replace function supaqueue.histogram(places integer[])
returns integer[]
language plpgsql
immutable
set search_path = ''
as $$
begin
  return array(
    select coalesce(c.number, 0)
    from generate_series(1, cardinality(supaqueue.histogram_bounds()) + 1) as n
    left join (select p.place, count(*)::integer as number from unnest(places) as p (place) group by p.place) c on c.place = n
    order by n
  );
end
$$;

create or replace function supaqueue.add_histograms(a bigint[], b bigint[])
returns bigint[]
language plpgsql
immutable
set search_path = ''
as $$
begin
  return array(
    select coalesce(u.a, 0) + coalesce(u.b, 0) from unnest(a, b) with ordinality as u (a, b, place) order by u.place
  );
end
$$;

-- Counts the jobs that have ended since they were counted last, in minute, hour and counted, about _limit of
-- them; returns whether there are more. Looks at 100 queues at a time, so that a tick with nothing to count costs next to
-- nothing, and goes on with the others at the next tick.
--
-- counted.until says up to which finished_at all jobs of a queue are counted. It moves in the transaction
-- that counts them, so each is counted once. The rows of queues that are gone are deleted.
create or replace function supaqueue.count_ended_jobs(_limit bigint default 20000)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  horizon timestamptz;
  after uuid := coalesce((select t.counted_until from supaqueue.last_tick t), '00000000-0000-0000-0000-000000000000');
  queues uuid[];
  to_count uuid[];
  _queue uuid;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('supaqueue.count', 0)) then
    return false;
  end if;
  select
    array_agg(q.id order by q.id),
    array_agg(q.id order by q.id) filter (where c.queue is null or exists (
      select
      from unnest(array['successful', 'failed', 'cancelled']) as s (status)
      cross join lateral (
        select from supaqueue.job j
        where j.queue = q.id and j.ended_as = s.status and j.finished_at > c.until
        limit 1
      ) e
    ))
  into queues, to_count
  from (select o.id from supaqueue.queue o where o.id > after order by o.id limit 100) q
  left join supaqueue.counted c on c.queue = q.id;

  delete from supaqueue.counted c
  where c.queue > after and (queues[100] is null or c.queue <= queues[100]) and c.queue <> all (coalesce(queues, '{}'));
  if to_count is not null then
    horizon := supaqueue.count_horizon();
  end if;
  foreach _queue in array coalesce(to_count, '{}') loop
    _limit := _limit - supaqueue.try_count_queue(_queue, horizon, _limit);
    -- Goes on with this queue.
    exit when _limit <= 0;
    after := _queue;
  end loop;
  if _limit > 0 then
    after := queues[100];
  end if;
  update supaqueue.last_tick t set counted_until = after where t.counted_until is distinct from after;
  return _limit <= 0;
end
$$;

-- Up to when all ends are visible; -infinity: that is not to be known.
--
-- A job gets its finished_at before its transaction commits. So nothing is counted that ended after the
-- oldest transaction with changes began, unless that has been open for 10 minutes: what it ends is not
-- counted then. Sessions that this role may not look into count as begun a minute ago.
--
-- Read in a statement of its own, before the jobs: who is not among the transactions any more is seen then. At
-- another isolation level it would not be.
create or replace function supaqueue.count_horizon()
returns timestamptz
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    return '-infinity';
  end if;
  return greatest(at - interval '10 minutes', least(at - interval '1 second', (
    select min(coalesce(a.xact_start, at - interval '1 minute')) - interval '1 millisecond'
    from pg_catalog.pg_stat_activity a
    where a.backend_xid is not null and a.pid <> pg_backend_pid()
      and a.datid = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
  )));
end
$$;

-- Counts the jobs of a queue (see count_queue), and notes an error, so that it keeps no other queue from being
-- counted.
create or replace function supaqueue.try_count_queue(_queue uuid, _horizon timestamptz, _limit bigint)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  jobs bigint;
begin
  jobs := supaqueue.count_queue(_queue, _horizon, _limit);
  perform supaqueue.note_done('count', _queue);
  return jobs;
exception
  when others then
    perform supaqueue.note_unfinished('count', _queue, null, sqlstate, sqlerrm);
    return 0;
end
$$;

-- Counts the jobs of a queue that ended up to a time, about _limit of them, the oldest first: more only if
-- some ended at the very same moment. Returns how many.
create or replace function supaqueue.count_queue(_queue uuid, _horizon timestamptz, _limit bigint)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  bounds constant numeric[] := supaqueue.histogram_bounds();
  total supaqueue.counted;
  _until timestamptz;
  ended record;
  jobs bigint := 0;
begin
  insert into supaqueue.counted (queue, until) values (_queue, '-infinity') on conflict do nothing;
  select c.* into total from supaqueue.counted c where c.queue = _queue for update;
  -- An older transaction has come up since.
  if _horizon <= total.until then
    return 0;
  end if;
  _until := coalesce((
    select e.finished_at
    from unnest(array['successful', 'failed', 'cancelled']) as s (status)
    cross join lateral (
      select j.finished_at from supaqueue.job j
      where j.queue = _queue and j.ended_as = s.status and j.finished_at > total.until and j.finished_at <= _horizon
      order by j.finished_at
      limit _limit
    ) e
    order by e.finished_at
    offset _limit - 1
    limit 1
  ), _horizon);

  for ended in
    select
      date_trunc('minute', e.finished_at, 'UTC') as at, count(*) as jobs,
      count(*) filter (where e.status = 'successful') as succeeded,
      count(*) filter (where e.status = 'failed') as failed,
      count(*) filter (where e.status = 'cancelled') as cancelled,
      least(sum(e.attempts), 2147483647) as started, least(sum(greatest(e.attempts - 1, 0)), 2147483647) as retried,
      supaqueue.histogram(array_agg(width_bucket(e.wait_ms - 1, bounds) + 1) filter (where e.wait_ms is not null)) as wait,
      supaqueue.histogram(array_agg(width_bucket(e.run_ms - 1, bounds) + 1) filter (where e.run_ms is not null)) as run,
      coalesce(sum(e.wait_ms), 0) as wait_ms, coalesce(sum(e.run_ms), 0) as run_ms
    from (
      select
        s.status, j.finished_at, j.attempts,
        -- A job that was cancelled before it was started, or started again, has no last attempt.
        case
          when j.started_at is null or not isfinite(j.run_at) or s.status = 'cancelled' and j.started_at < j.run_at then null
          else ceil(least(greatest(extract(epoch from j.started_at - j.run_at) * 1000, 0), 1e11))
        end as wait_ms,
        case when s.status <> 'cancelled' then j.duration_ms::numeric end as run_ms
      from unnest(array['successful', 'failed', 'cancelled']) as s (status)
      cross join lateral (
        select f.finished_at, f.attempts, f.started_at, f.run_at, f.duration_ms from supaqueue.job f
        where f.queue = _queue and f.ended_as = s.status and f.finished_at > total.until and f.finished_at <= _until
      ) j
    ) e
    group by 1
    order by 1
  loop
    insert into supaqueue.minute as m (queue, at, started, succeeded, failed, cancelled, retried, wait, run)
    select q.id, ended.at, ended.started, ended.succeeded, ended.failed, ended.cancelled, ended.retried, ended.wait, ended.run
    from (values (_queue), ('00000000-0000-0000-0000-000000000000')) as q (id)
    on conflict (queue, at) do update
    set started = least(m.started::bigint + excluded.started, 2147483647), succeeded = m.succeeded + excluded.succeeded,
      failed = m.failed + excluded.failed, cancelled = m.cancelled + excluded.cancelled,
      retried = least(m.retried::bigint + excluded.retried, 2147483647),
      wait = supaqueue.add_histograms(m.wait, excluded.wait), run = supaqueue.add_histograms(m.run, excluded.run);
    -- Written out: a statement made for the table's name would be planned each time.
    insert into supaqueue.hour as m (queue, at, started, succeeded, failed, cancelled, retried, wait, run)
    select q.id, date_trunc('hour', ended.at, 'UTC'), ended.started, ended.succeeded, ended.failed, ended.cancelled, ended.retried, ended.wait, ended.run
    from (values (_queue), ('00000000-0000-0000-0000-000000000000')) as q (id)
    on conflict (queue, at) do update
    set started = least(m.started::bigint + excluded.started, 2147483647), succeeded = m.succeeded + excluded.succeeded,
      failed = m.failed + excluded.failed, cancelled = m.cancelled + excluded.cancelled,
      retried = least(m.retried::bigint + excluded.retried, 2147483647),
      wait = supaqueue.add_histograms(m.wait, excluded.wait), run = supaqueue.add_histograms(m.run, excluded.run);
    total.started := total.started + ended.started;
    total.succeeded := total.succeeded + ended.succeeded;
    total.failed := total.failed + ended.failed;
    total.cancelled := total.cancelled + ended.cancelled;
    total.retried := total.retried + ended.retried;
    total.wait := supaqueue.add_histograms(total.wait, ended.wait);
    total.run := supaqueue.add_histograms(total.run, ended.run);
    total.wait_ms := total.wait_ms + ended.wait_ms;
    total.run_ms := total.run_ms + ended.run_ms;
    jobs := jobs + ended.jobs;
  end loop;
  update supaqueue.counted c
  set until = _until, started = total.started, succeeded = total.succeeded, failed = total.failed,
    cancelled = total.cancelled, retried = total.retried, wait = total.wait, run = total.run, wait_ms = total.wait_ms,
    run_ms = total.run_ms
  where c.queue = _queue;
  return jobs;
end
$$;

-- Deletes the rows of minute and hour that are no longer kept, the oldest first, some at a time.
create or replace function supaqueue.delete_minutes()
returns void
language plpgsql
set search_path = ''
as $$
declare
  before timestamptz := now() - (supaqueue.settings()).keep_minutes_for;
begin
  delete from supaqueue.minute m
  where m.ctid = any (array(
    select o.ctid from supaqueue.minute o where o.at < before order by o.at limit 2000 for update skip locked));
  delete from supaqueue.hour h
  where h.ctid = any (array(
    select o.ctid from supaqueue.hour o where o.at < before order by o.at limit 2000 for update skip locked));
end
$$;
