-- The charts of the queues: since $1, in steps of $2.
select jsonb_build_object(
  'problems', (select coalesce(jsonb_agg(p), '[]') from supaqueue.problem p),
  'last_tick_at', (select t.started_at from supaqueue.last_tick t),
  'queues', (
    select coalesce(jsonb_agg(to_jsonb(q) order by q.name), '[]')
    from (
      select
        s.id, s.name, s.is_paused, s.workers, s.busy_workers, s.pending, s.waiting, s.in_progress,
        (
          select jsonb_agg(jsonb_build_array(c.succeeded, c.failed) order by c.at)
          from supaqueue.chart(s.name, $1::interval, $2::interval) c
        ) as ended
      from supaqueue.queue_status s
      -- A self-test of the doctor.
      where s.name not like 'supaqueue\_self\_test\_%'
      order by s.name
      limit 200
    ) q
  )
)
