-- The jobs that ended in each queue since $1, in steps of $2: as supaqueue.chart() has them, without the histograms, whose
-- sums would take most of the time.
with steps as materialized (
  select number, date_bin($2::interval, now(), '2000-01-01 00:00:00+00') - (n.steps - 1 - number) * $2::interval as at
  from (select ceil(extract(epoch from $1::interval) / extract(epoch from $2::interval))::integer as steps) n
  cross join lateral generate_series(0, n.steps - 1) as s (number)
)
select jsonb_build_object(
  'problems', (select coalesce(jsonb_agg(p), '[]') from supaqueue.problem p),
  'last_tick_at', (select t.started_at from supaqueue.last_tick t),
  'queues', (
    select coalesce(jsonb_agg(to_jsonb(q) order by q.name), '[]')
    from (
      select
        s.id, s.name, s.is_paused, s.workers, s.busy_workers, s.pending, s.waiting, s.in_progress,
        (
          select jsonb_agg(jsonb_build_array(coalesce(m.succeeded, 0), coalesce(m.failed, 0)) order by t.at)
          from steps t
          left join (
            select date_bin($2::interval, m.at, '2000-01-01 00:00:00+00') as at, sum(m.succeeded) as succeeded, sum(m.failed) as failed
            from supaqueue.minute m
            where m.queue = s.id and m.at >= (select min(f.at) from steps f)
            group by 1
          ) m on m.at = t.at
        ) as ended
      from supaqueue.queue_status s
      -- A self-test of the doctor.
      where s.name not like 'supaqueue\_self\_test\_%'
      order by s.name
      limit 200
    ) q
  )
)
