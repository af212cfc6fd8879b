-- The queue $1; null if there is none.
select coalesce((
  select jsonb_build_object(
    'status', (
      select to_jsonb(s)
      from (
        select s.is_paused, s.workers, s.busy_workers, s.pending, s.waiting, s.in_progress
        from supaqueue.queue_status s
        where s.name = $1
      ) s
    ),
    'settings', to_jsonb(q) || jsonb_build_object('on_end', (select o.name from supaqueue.queue o where o.id = q.on_end)),
    'problems', (select coalesce(jsonb_agg(p), '[]') from supaqueue.problem p where p.queue = q.name),
    'failures', (
      select coalesce(jsonb_agg(f order by f.jobs desc, f.last_at desc), '[]')
      from (select f.* from supaqueue.failures(q.name, 100) f order by f.jobs desc, f.last_at desc limit 5) f
    ),
    'oldest_due', (
      select jsonb_build_object('id', d.job, 'run_at', d.run_at, 'explain', supaqueue.explain(d.job))
      from supaqueue.oldest_due(q.id) d
      where d.job is not null
    )
  )
  from supaqueue.queue q
  where q.name = $1
), 'null')
