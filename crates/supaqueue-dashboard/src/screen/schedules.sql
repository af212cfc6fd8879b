select coalesce(jsonb_agg(to_jsonb(l) order by l.name), '[]')
from (
  select
    s.id, s.name, q.name as queue, s.cron, s.every::text as every, s.timezone, s.is_paused, s.next_at, s.last_at, s.last_job,
    (select j.status from supaqueue.job j where j.id = s.last_job) as last_status,
    s.missed_count, s.skipped_count, supaqueue.explain_schedule(s.name) as explain
  from supaqueue.schedule s
  join supaqueue.queue q on q.id = s.queue
  order by s.name
  limit 500
) l
