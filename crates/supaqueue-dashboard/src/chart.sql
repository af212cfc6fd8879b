-- What is charted of the queue $1 (null: of all), since $2, in steps of $3.
with c as materialized (select c.* from supaqueue.chart($1, $2::interval, $3::interval) c)
select jsonb_build_object(
  'points', (
    select coalesce(jsonb_agg(jsonb_build_object(
      'at', c.at, 'succeeded', c.succeeded, 'failed', c.failed, 'cancelled', c.cancelled, 'retried', c.retried,
      'wait', jsonb_build_array(supaqueue.percentile(c.wait, 0.5), supaqueue.percentile(c.wait, 0.95)),
      'run', jsonb_build_array(supaqueue.percentile(c.run, 0.5), supaqueue.percentile(c.run, 0.95))
    ) order by c.at), '[]')
    from c
  ),
  'wait', (
    select jsonb_build_array(supaqueue.percentile(h.sums, 0.5), supaqueue.percentile(h.sums, 0.95))
    from (
      select array_agg(s.number order by s.place)
      from (
        select u.place, sum(u.number)::bigint as number
        from c cross join lateral unnest(c.wait) with ordinality as u (number, place)
        group by u.place
      ) s
    ) h (sums)
  ),
  'run', (
    select jsonb_build_array(supaqueue.percentile(h.sums, 0.5), supaqueue.percentile(h.sums, 0.95))
    from (
      select array_agg(s.number order by s.place)
      from (
        select u.place, sum(u.number)::bigint as number
        from c cross join lateral unnest(c.run) with ordinality as u (number, place)
        group by u.place
      ) s
    ) h (sums)
  )
)
