-- Does a step of the tick, for a queue, a schedule or an operation (the steps of that name), or (null) for all. A step that fails is noted, for problem,
-- and tried again after a pause, and does not keep others from being done. Returns whether there is
-- more to do.
create or replace function supaqueue.run_step(_step text, _queue uuid default null)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  has_more boolean := false;
begin
  if supaqueue.is_put_off(_step, _queue) then
    return false;
  end if;
  -- Before the work: a note that is committed meanwhile is about something that this may not have seen.
  perform supaqueue.note_done(_step, _queue);
  case _step
    when 'end runs' then
      perform supaqueue.end_runs();
    when 'schedules' then
      has_more := supaqueue.run_schedules();
    when 'schedule' then
      perform supaqueue.run_due(_queue);
    when 'take back' then
      has_more := supaqueue.recover(_queue);
    when 'settle' then
      perform supaqueue.settle_again(_queue);
      perform supaqueue.insert_end_jobs_again(_queue);
    when 'admit' then
      has_more := supaqueue.admit_jobs(_queue, '-infinity', 1000) = 1000;
      perform supaqueue.lower_fronts(array[_queue]);
    when 'start' then
      perform supaqueue.reset_front(_queue);
      -- Rows of jobs that were deleted or changed without triggers would be walked over for ever.
      delete from supaqueue.ready_job r
      where r.ctid = any (supaqueue.stale_places(_queue));
      perform supaqueue.start_jobs(array[_queue], array[_queue]);
      perform supaqueue.move_front(_queue, null);
    when 'check' then
      has_more := supaqueue.check_places();
    when 'pipelines' then
      if to_regprocedure('supaqueue.tick_job_dependencies()') is not null then
        execute 'select supaqueue.tick_job_dependencies()' into has_more;
      end if;
    when 'operate' then
      has_more := supaqueue.operate();
    when 'operation' then
      perform supaqueue.operate_piece(_queue);
    when 'release' then
      has_more := supaqueue.release_keys();
    when 'count' then
      has_more := supaqueue.count_ended_jobs();
      perform supaqueue.delete_minutes();
    when 'delete' then
      has_more := supaqueue.delete_finished_jobs();
    when 'purge' then
      perform supaqueue.purge_tick_history();
      perform supaqueue.delete_old_operations();
  end case;
  return has_more;
exception
  when others then
    perform supaqueue.note_unfinished(_step, _queue, null, sqlstate, sqlerrm);
    return false;
end
$$;

-- The queues in which there is something to do, at most 1000. What this reads is small, or read through an index
-- from its start: queues with nothing to do cost nothing.
create or replace function supaqueue.queues_to_look_after(_lost uuid[])
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
begin
  return array(
    with recursive ready (queue) as (
      (select r.queue from supaqueue.ready_job r order by r.queue limit 1)
      union all
      select (select n.queue from supaqueue.ready_job n where n.queue > ready.queue order by n.queue limit 1)
      from ready
      where ready.queue is not null
    )
    select found.queue
    from (
      select r.queue from ready r where r.queue is not null and supaqueue.free_workers(r.queue) > 0
      union
      select h.queue
      from (select d.queue from supaqueue.held_job d where d.until <= at order by d.until limit 1000) h
      union
      select unnest(_lost)
      union
      select u.queue from supaqueue.unfinished u where u.queue is not null and u.retry_at <= at and u.step not in ('delete', 'schedule', 'operation')
    ) found
    order by random()
    limit 1000
  );
end
$$;

-- The queues in which something was lost: a call, or a worker's call.
create or replace function supaqueue.queues_with_losses()
returns uuid[]
language sql
stable
set search_path = ''
as $$
  select array(
    select c.queue from supaqueue.current_job c
    where c.lease_until < clock_timestamp()
      or c.run is not null and c.run not in (select r.id from supaqueue.run r where not r.is_over)
    union
    select d.queue from supaqueue.deleted_worker d
    union
    select w.queue from supaqueue.worker w
    where w.locked and (w.queue, w.id) not in (select c.queue, c.worker from supaqueue.current_job c)
  )
$$;

-- Does all that there is to do in a queue. Returns whether there is more. has_losses: see
-- queues_with_losses; to look for them in each queue would read all calls each time.
create or replace function supaqueue.look_after(_queue uuid, has_losses boolean)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  has_more boolean := false;
begin
  perform supaqueue.lock_queues('{}', array[_queue]);
  if has_losses then
    has_more := supaqueue.run_step('take back', _queue);
  end if;
  perform supaqueue.run_step('settle', _queue);
  has_more := supaqueue.run_step('admit', _queue) or has_more;
  perform supaqueue.run_step('start', _queue);
  perform supaqueue.note_done('look after', _queue);
  return has_more;
exception
  when others then
    perform supaqueue.note_unfinished('look after', _queue, null, sqlstate, sqlerrm);
    return false;
end
$$;
