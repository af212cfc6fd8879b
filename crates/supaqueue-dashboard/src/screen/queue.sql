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
      -- One step of the index per priority, of which there are few.
      with recursive priorities as (
        (select r.priority from supaqueue.ready_job r where r.queue = q.id order by r.priority limit 1)
        union all
        select (select r.priority from supaqueue.ready_job r where r.queue = q.id and r.priority > p.priority order by r.priority limit 1)
        from priorities p
        where p.priority is not null
      )
      select jsonb_build_object('id', r.job, 'run_at', r.run_at, 'explain', supaqueue.explain(r.job))
      from (select p.priority from priorities p limit 100) p
      cross join lateral (
        select r.* from supaqueue.ready_job r where r.queue = q.id and r.priority = p.priority order by r.run_at, r.position limit 1
      ) r
      order by r.run_at
      limit 1
    )
  )
  from supaqueue.queue q
  where q.name = $1
), 'null')
