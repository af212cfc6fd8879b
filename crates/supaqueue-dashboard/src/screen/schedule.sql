-- The schedule $1; null if there is none.
select coalesce((
  select jsonb_build_object(
    'queue', q.name,
    'schedule', to_jsonb(s) - 'payload' - 'parsed' - 'recent_jobs',
    'payload', left(s.payload::text, 2001),
    'explain', supaqueue.explain_schedule(s.name),
    'next', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'at', n.at, 'local', to_char(n.at at time zone s.timezone, 'YYYY-MM-DD HH24:MI:SS')
      ) order by n.at), '[]')
      from (
        select t.at from supaqueue.next_times(s.cron, s.timezone, 5) as t (at) where s.cron is not null
        union all
        select s.next_at + n.number * s.every from generate_series(0, 4) as n (number) where s.every is not null and s.next_at is not null
      ) n
    ),
    'jobs', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'id', j.id, 'status', j.status, 'run_at', j.run_at, 'finished_at', j.finished_at, 'duration_ms', j.duration_ms
      ) order by r.number), '[]')
      from unnest(s.recent_jobs[1:20]) with ordinality as r (job, number)
      join supaqueue.job j on j.id = r.job
    )
  )
  from supaqueue.schedule s
  join supaqueue.queue q on q.id = s.queue
  where s.name = $1
), 'null')
