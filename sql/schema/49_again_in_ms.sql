-- In how many milliseconds a run that waits for work of a queue should ask again; null: it should not
-- wait. idle_ms: since the run had a call of the queue. _since: jobs that were due by then were claimed
-- or could not be.
--
-- While all workers are busy, their own reports take the next jobs. The time of the next held job,
-- or of a schedule, is exact; beside it, new jobs are looked for, with pauses that grow until linger_ms.
create or replace function supaqueue.again_in_ms(_queue uuid, idle_ms numeric, _since timestamptz)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  setting supaqueue.setting := supaqueue.settings();
  due_in_ms numeric;
begin
  if setting.linger_ms = 0
    or (select q.is_paused from supaqueue.queue q where q.id = _queue) is not false
    or supaqueue.free_workers(_queue) = 0
      and not exists (select from supaqueue.current_job c where c.queue = _queue and c.run is null)
  then
    return null;
  end if;
  due_in_ms := (
    select ceil(extract(epoch from least(
      (select h.until from supaqueue.held_job h
        where h.queue = _queue and h.until > _since and h.until < _since + interval '2 minutes'
        order by h.until
        limit 1),
      (select s.next_at from supaqueue.schedule s
        where s.queue = _queue and s.next_at > _since and s.next_at < _since + interval '2 minutes'
        order by s.next_at
        limit 1)
    ) - clock_timestamp()) * 1000)
  );
  if coalesce(idle_ms, 0) > setting.linger_ms then
    return case when due_in_ms <= setting.linger_ms then greatest(due_in_ms, 1) end;
  end if;
  return greatest(least(due_in_ms, greatest(setting.poll_ms, floor(coalesce(idle_ms, 0) / 4))), 1);
end
$$;
