-- What `supaqueue status` shows, as one document: of all queues, or of one in detail. Grouping its failures reads more than
-- the rest, and can be left out. (No placeholder may be in a comment, which a line break in a name would end.)
with
queues as materialized (
  select q.*
  from supaqueue.queue q
  where case when :queue is null then q.name not like 'supaqueue\_self\_test\_%' else q.name = :queue end
  order by q.name
  limit 1000
),
hours as materialized (
  select q.id as queue, c.*
  from queues q
  cross join lateral supaqueue.chart(q.name, interval '1 hour', interval '2 minutes') c
),
counts as (
  select
    h.queue, sum(h.started) as started, sum(h.succeeded) as successful, sum(h.failed) as failed, sum(h.cancelled) as cancelled,
    sum(h.retried) as retried
  from hours h
  group by h.queue
),
bins as (
  select h.queue, b.place, sum(b.wait) as wait, sum(b.run) as run
  from hours h
  cross join lateral unnest(h.wait, h.run) with ordinality as b (wait, run, place)
  group by h.queue, b.place
),
times as (
  select b.queue, array_agg(b.wait::bigint order by b.place) as wait, array_agg(b.run::bigint order by b.place) as run
  from bins b
  group by b.queue
)
select jsonb_build_object(
  'at', clock_timestamp(),
  'problems', coalesce((
    select jsonb_agg(jsonb_build_object('queue', p.queue, 'job', p.job, 'problem', p.problem, 'remedy', p.remedy))
    from supaqueue.problem p
    where :queue is null or p.queue is null or p.queue = :queue
  ), '[]'),
  'queues', coalesce((
    select jsonb_agg(jsonb_build_object(
      'name', q.name,
      'function', q.edge_function_name,
      'is_paused', q.is_paused,
      'workers', (select count(*) from supaqueue.worker w where w.queue = q.id),
      'busy_workers', (select count(*) from supaqueue.worker w where w.queue = q.id and w.locked),
      'due', (
        select count(*) from (
          select from supaqueue.ready_job r where r.queue = q.id
          union all
          select from supaqueue.held_job h where h.queue = q.id and h.until <= clock_timestamp()
          limit 100001
        ) c
      ),
      'later', (
        select count(*) from (
          select from supaqueue.held_job h where h.queue = q.id and h.until > clock_timestamp() and h.until < 'infinity' limit 100001
        ) c
      ),
      'waiting', (select count(*) from (select from supaqueue.held_job h where h.queue = q.id and h.until = 'infinity' limit 100001) c),
      'in_progress', (
        -- A call whose job was cancelled, or settled by hand, is left until its run reports.
        select count(*) from supaqueue.current_job c join supaqueue.job j on j.id = c.job and j.status = 'in_progress' where c.queue = q.id
      ),
      'held', (select count(*) from supaqueue.current_job c where c.queue = q.id and c.state = 'held'),
      'last_hour', jsonb_build_object(
        'started', n.started, 'successful', n.successful, 'failed', n.failed, 'cancelled', n.cancelled, 'retried', n.retried,
        'wait_ms', jsonb_build_object('p50', supaqueue.percentile(t.wait, 0.5), 'p95', supaqueue.percentile(t.wait, 0.95)),
        'run_ms', jsonb_build_object('p50', supaqueue.percentile(t.run, 0.5), 'p95', supaqueue.percentile(t.run, 0.95))
      ),
      'detail', case when :queue is not null then jsonb_build_object(
        'settings', (
          -- Those that differ from the default of their column.
          select coalesce(jsonb_object_agg(a.attname, jsonb_build_object('value', v.value, 'default', d.value) order by a.attnum), '{}')
          from pg_catalog.pg_attribute a
          left join pg_catalog.pg_attrdef e on e.adrelid = a.attrelid and e.adnum = a.attnum
          cross join lateral (
            select regexp_replace(pg_get_expr(e.adbin, e.adrelid), '^''(.*)''::[a-z ]+(\[\])?$', '\1') as value
          ) d
          cross join lateral (
            select case when a.attndims > 0 then translate(to_jsonb(q) ->> a.attname, '[] ', '{}') else to_jsonb(q) ->> a.attname end as value
          ) v
          where a.attrelid = 'supaqueue.queue'::regclass and a.attnum > 0 and not a.attisdropped
            and a.attname not in ('id', 'created_at', 'name', 'edge_function_name', 'is_paused')
            and v.value is distinct from d.value
        ),
        'minutes', (
          select jsonb_agg(jsonb_build_object('at', h.at, 'ended', h.succeeded + h.failed + h.cancelled, 'failed', h.failed) order by h.at)
          from hours h
          where h.queue = q.id
        ),
        'oldest_due', (
          select jsonb_build_object('id', d.job, 'run_at', d.run_at, 'explain', supaqueue.explain(d.job))
          from supaqueue.oldest_due(q.id) d
          where d.job is not null
        ),
        'failures', case when :with_failures then (
          select coalesce(jsonb_agg(to_jsonb(f) order by f.jobs desc, f.last_at desc), '[]')
          from (select * from supaqueue.failures(q.name, 100) f order by f.jobs desc, f.last_at desc limit 5) f
        ) end
      ) end
    ) order by q.name)
    from queues q
    left join counts n on n.queue = q.id
    left join times t on t.queue = q.id
  ), '[]')
) as result
