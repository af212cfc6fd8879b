-- The next priority of a queue's pending jobs behind one, and when its first job is
-- due; nulls where there is none.
--
-- So a search goes from priority to priority, and a million jobs scheduled for
-- tomorrow at one of them cost the jobs of the next one nothing.
create or replace function supaqueue.next_priority(
  _queue uuid, behind bigint, out priority integer, out run_at timestamptz
)
language plpgsql
stable
set search_path = ''
as $$
begin
  select j.priority, j.run_at into priority, run_at
  from supaqueue.job j
  where j.queue = _queue and j.status = 'pending' and j.priority > behind
  order by j.priority, j.run_at, j.position
  limit 1;
end
$$;

-- Whether a job of a queue is due that goes before all those of a priority.
create or replace function supaqueue.has_due_job_before(_queue uuid, _priority integer, at timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  next record;
begin
  next := supaqueue.next_priority(_queue, -2147483649);
  while next.priority < _priority loop
    if next.run_at <= at then
      return true;
    end if;
    next := supaqueue.next_priority(_queue, next.priority);
  end loop;
  return false;
end
$$;
