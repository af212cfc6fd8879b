-- What has happened in a queue since some time (null: nothing yet), and its calls. Known are the jobs that had a call the last
-- time. (No placeholder may be in a comment, which a line break in a name would end.)
--
-- The next time begins where every transaction that is open now did: what such a one has ended becomes visible
-- only when it commits, with an earlier time. That is found out by a statement of its own, before the one that looks, and
-- as a trigger takes the time before its row is written, two seconds are added. A transaction that is open for longer than
-- five minutes is not waited for.
select set_config('supaqueue.tail_next', least(
  clock_timestamp() - interval '2 seconds',
  (
    select greatest(a.xact_start, clock_timestamp() - interval '5 minutes')
    from pg_catalog.pg_stat_activity a
    where a.datname = current_database() and a.backend_xid is not null and a.xact_start is not null
    order by a.xact_start
    limit 1
  )
)::text, true);
with
queues as materialized (select q.id, q.max_attempts from supaqueue.queue q where q.name = :queue),
calls as materialized (select c.job, c.state from queues q join supaqueue.current_job c on c.queue = q.id),
ended as materialized (
  select j.id, j.finished_at
  from queues q
  cross join unnest(array['successful', 'failed', 'cancelled']) as s (status)
  cross join lateral (
    select j.id, j.finished_at
    from supaqueue.job j
    where j.queue = q.id and j.ended_as = s.status and j.finished_at is not null and j.finished_at >= :since
    order by j.finished_at
    limit :page
  ) j
  order by j.finished_at
  limit :page
),
-- Those that failed and are retried next. One that is not among them is seen when it starts or ends.
retried as materialized (
  select h.job
  from queues q
  cross join lateral (
    select h.job from supaqueue.held_job h where h.queue = q.id and h.until < 'infinity' order by h.until limit 100
  ) h
  where :since is not null
),
jobs as (
  select c.job as id from calls c
  union
  select e.id from ended e
  union
  select r.job from retried r
  union
  select unnest(:known)
)
select jsonb_build_object(
  'exists', exists (select from queues),
  'at', clock_timestamp(),
  'next', current_setting('supaqueue.tail_next')::timestamptz,
  'ended', (select count(*) from ended),
  'last_end', (select max(e.finished_at) from ended e),
  'jobs', coalesce((
    select jsonb_agg(jsonb_build_object(
      'id', j.id, 'status', j.status, 'attempts', j.attempts, 'started_at', j.started_at, 'finished_at', j.finished_at,
      'http_status', j.http_status, 'duration_ms', j.duration_ms, 'call', c.state,
      'errors', (
        select coalesce(jsonb_agg(jsonb_build_object(
          'attempt', e -> 'attempt', 'at', e -> 'at', 'status', e -> 'status', 'message', left(e ->> 'message', 500))), '[]')
        from jsonb_array_elements(j.errors) e
      )
    ))
    from jobs
    join supaqueue.job j on j.id = jobs.id
    left join calls c on c.job = j.id
    where j.attempts > 0 or j.finished_at is not null
  ), '[]')
) as result
