-- Counters, gauges and histograms of all queues as OpenMetrics text
-- (https://prometheus.io/docs/specs/om/open_metrics_spec/). Counters come from counted, which only grows; what is counted
-- now is counted up to 100,001, as in queue_status.
create or replace function supaqueue.metrics()
returns text
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
  bounds constant integer[] := supaqueue.histogram_bounds();
begin
  return (
    with queues as materialized (
      select
        q.name, q.is_paused, c.*,
        format('queue="%s"', replace(replace(replace(q.name, '\', '\\'), '"', '\"'), chr(10), '\n')) as label,
        (select count(*) from (select from supaqueue.ready_job r where r.queue = q.id limit 100001) n) as pending,
        (select count(*) from (select from supaqueue.held_job h where h.queue = q.id and h.until < 'infinity' limit 100001) n) as scheduled,
        (select count(*) from (select from supaqueue.held_job h where h.queue = q.id and h.until = 'infinity' limit 100001) n) as waiting,
        coalesce(p.number, 0) as in_progress,
        (select count(*) from supaqueue.worker w where w.queue = q.id) as workers,
        (select count(*) from supaqueue.worker w where w.queue = q.id and w.locked) as busy,
        (supaqueue.oldest_due(q.id)).run_at as oldest_due
      from supaqueue.queue q
      left join supaqueue.counted c on c.queue = q.id
      left join (
        select s.queue, count(*) as number
        from supaqueue.current_job s
        join supaqueue.job j on j.id = s.job and j.status = 'in_progress'
        group by s.queue
      ) p on p.queue = q.id
    ),
    families (place, name, type, unit, help) as (
      values
        (1, 'supaqueue_jobs_ended', 'counter', null, 'Jobs that ended'),
        (2, 'supaqueue_attempts', 'counter', null, 'Attempts of the jobs that ended'),
        (3, 'supaqueue_retries', 'counter', null, 'Attempts after the first one, of the jobs that ended'),
        (4, 'supaqueue_wait_seconds', 'histogram', 'seconds', 'From when the last attempt of a job that ended was due to its start'),
        (5, 'supaqueue_run_seconds', 'histogram', 'seconds', 'Duration of the last attempt of a job that ended'),
        (6, 'supaqueue_jobs', 'gauge', null, 'Jobs that have not ended: pending (may run now), scheduled (due later, also for a retry), waiting (held), in_progress; each counted up to 100001'),
        (7, 'supaqueue_workers', 'gauge', null, 'Workers'),
        (8, 'supaqueue_workers_busy', 'gauge', null, 'Workers that process a job'),
        (9, 'supaqueue_oldest_due_job_age_seconds', 'gauge', 'seconds', 'How long the job that waits longest has been due; 0: none is'),
        (10, 'supaqueue_queue_paused', 'gauge', null, '1: the queue is paused'),
        (11, 'supaqueue_tick_age_seconds', 'gauge', 'seconds', 'Time since the last tick'),
        (12, 'supaqueue_problems', 'gauge', null, 'Rows of the view supaqueue.problem')
    ),
    samples (family, queue, number, sample) as (
      select f.name, q.name, s.number, format('%s{%s%s} %s', f.name || s.suffix, q.label, s.labels, s.value)
      from queues q
      cross join families f
      cross join lateral (
        select 1, '_total', ',status="successful"', coalesce(q.succeeded, 0)::text where f.place = 1
        union all
        select 2, '_total', ',status="failed"', coalesce(q.failed, 0)::text where f.place = 1
        union all
        select 3, '_total', ',status="cancelled"', coalesce(q.cancelled, 0)::text where f.place = 1
        union all
        select 1, '_total', '', coalesce(q.started, 0)::text where f.place = 2
        union all
        select 1, '_total', '', coalesce(q.retried, 0)::text where f.place = 3
        union all
        select b.number, '_bucket', format(',le="%s"', case
            when bounds[b.number] % 1000 = 0 then bounds[b.number] / 1000 || '.0'
            else coalesce(trim_scale(bounds[b.number] / 1000.0)::text, '+Inf')
          end),
          sum(coalesce((case f.place when 4 then q.wait else q.run end)[b.number], 0)) over (order by b.number)::text
        from generate_series(1, cardinality(bounds) + 1) as b (number)
        where f.place in (4, 5)
        union all
        select 100, '_count', '', (select coalesce(sum(h.number), 0) from unnest(case f.place when 4 then q.wait else q.run end) as h (number))::text
        where f.place in (4, 5)
        union all
        select 101, '_sum', '', trim_scale(coalesce(case f.place when 4 then q.wait_ms else q.run_ms end, 0) / 1000.0)::text where f.place in (4, 5)
        union all
        select g.number, '', format(',status="%s"', g.status), g.value::text
        from (values
          (1, 'pending', q.pending), (2, 'scheduled', q.scheduled), (3, 'waiting', q.waiting), (4, 'in_progress', q.in_progress)
        ) as g (number, status, value)
        where f.place = 6
        union all
        select 1, '', '', g.value
        from (values
          (7, q.workers::text), (8, q.busy::text),
          (9, round(greatest(extract(epoch from at - q.oldest_due), 0), 3)::text), (10, q.is_paused::integer::text)
        ) as g (place, value)
        where f.place = g.place
      ) as s (number, suffix, labels, value)
      union all
      select 'supaqueue_tick_age_seconds', '', 1, format('supaqueue_tick_age_seconds %s', round(extract(epoch from at - t.started_at), 3))
      from supaqueue.last_tick t
      where t.started_at is not null
      union all
      select 'supaqueue_problems', '', 1, format('supaqueue_problems %s', (select count(*) from supaqueue.problems()))
    )
    select string_agg(f.text, '' order by f.place) || '# EOF' || chr(10)
    from (
      select
        f.place,
        format('# TYPE %s %s', f.name, f.type) || chr(10) || coalesce('# UNIT ' || f.name || ' ' || f.unit || chr(10), '')
          || format('# HELP %s %s', f.name, f.help) || chr(10)
          || string_agg(s.sample || chr(10), '' order by s.queue, s.number) as text
      from families f
      join samples s on s.family = f.name
      group by f.place, f.name, f.type, f.unit, f.help
    ) f
  );
end
$$;
comment on function supaqueue.metrics is 'Counters, gauges and histograms of all queues as OpenMetrics text, for Prometheus and others';

-- The due job of a queue that has waited longest; null: there is none. Looks at 100 priorities.
create or replace function supaqueue.oldest_due(_queue uuid)
returns supaqueue.ready_job
language plpgsql
stable
set search_path = ''
as $$
declare
  place supaqueue.ready_job;
  oldest supaqueue.ready_job;
begin
  for i in 1 .. 100 loop
    select r.* into place
    from supaqueue.ready_job r
    where r.queue = _queue and r.priority > coalesce(place.priority::bigint, -2147483649)
    order by r.priority, r.run_at, r.position
    limit 1;
    exit when not found;
    if oldest.run_at is null or place.run_at < oldest.run_at then
      oldest := place;
    end if;
  end loop;
  return oldest;
end
$$;
