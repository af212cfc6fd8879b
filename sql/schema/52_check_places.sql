-- Walks through all jobs, some at each tick, and repairs what does not fit: jobs that were loaded
-- without triggers, or whose current_job somebody deleted. After the server was started, and when
-- somebody deleted a call, in larger steps.
create or replace function supaqueue.check_places()
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  last supaqueue.last_tick := (select t from supaqueue.last_tick t);
  size integer := case when last.is_check_urgent then 20000 else 200 end;
  jobs uuid[] := supaqueue.jobs_after(coalesce(last.checked_until, '00000000-0000-0000-0000-000000000000'), size);
  _job uuid;
  job supaqueue.job;
begin
  foreach _job in array supaqueue.misplaced_jobs(jobs) loop
    select j.* into job from supaqueue.job j where j.id = _job for no key update skip locked;
    continue when not found or supaqueue.misplaced_jobs(array[_job]) = '{}';
    if job.status = 'in_progress' then
      perform supaqueue.settle_or_note(job.id, job.queue, false,
        '{"error": {"message": "lost: the job was in progress without a current job"}}');
    else
      perform supaqueue.add_place(job);
    end if;
  end loop;
  update supaqueue.last_tick t
  set checked_until = case when cardinality(jobs) = size then jobs[size] end,
    is_check_urgent = t.is_check_urgent and cardinality(jobs) = size
  where t.is_only_row;

  delete from supaqueue.deleted_worker d where not exists (
    select from supaqueue.current_job c where c.queue = d.queue and c.worker = d.worker
  );
  delete from supaqueue.unfinished u
  where u.queue is not null
      and not exists (select from supaqueue.queue q where q.id = u.queue)
      and not exists (select from supaqueue.schedule s where s.id = u.queue)
      and not exists (select from supaqueue.operation o where o.id = u.queue and o.status = 'running')
    -- The job of on_end can be inserted without the ended one.
    or u.job is not null and u.step <> 'on end' and not exists (
      select from supaqueue.job j
      where j.id = u.job and case u.step
        when 'start' then j.status = 'pending'
        when 'call' then j.finished_at is null
        when 'delete' then j.finished_at is not null
        when 'release' then j.key_held_until is not null
        else j.status = 'in_progress'
      end
    );
  return last.is_check_urgent and cardinality(jobs) = size;
end
$$;

create or replace function supaqueue.jobs_after(_job uuid, _limit integer)
returns uuid[]
language plpgsql
stable
set search_path = ''
as $$
begin
  return array(select j.id from supaqueue.job j where j.id > _job order by j.id limit _limit);
end
$$;

-- Those of the jobs that should have a row in ready_job, held_job or current_job, and have none.
-- "count(*)" keeps each look-up one of a single row.
create or replace function supaqueue.misplaced_jobs(_jobs uuid[])
returns uuid[]
language plpgsql
stable
set search_path = ''
as $$
begin
  return array(
    select j.id
    from supaqueue.job j
    where j.id = any (_jobs)
      and case j.status
        when 'in_progress' then
          (select count(*) from supaqueue.current_job c where c.job = j.id) = 0
          and (select count(*) from supaqueue.unfinished u where u.job = j.id and u.step = 'settle') = 0
        when 'pending' then
          (select count(*) from supaqueue.ready_job r
            where r.queue = j.queue and r.priority = j.priority and r.run_at = j.run_at and r.position = j.position) = 0
          and (select count(*) from supaqueue.held_job h where h.job = j.id) = 0
        when 'waiting' then
          (select count(*) from supaqueue.held_job h where h.job = j.id) = 0
        else false
      end
  );
end
$$;

-- The rows among the first ready ones of a queue whose job is not pending there.
create or replace function supaqueue.stale_places(_queue uuid)
returns tid[]
language plpgsql
stable
set search_path = ''
as $$
begin
  return array(
    select r.place
    from (
      select f.ctid as place, f.* from supaqueue.ready_job f
      where f.queue = _queue
      order by f.priority, f.run_at, f.position
      limit 100
    ) r
    where (
      select count(*) from supaqueue.job j
      where j.id = r.job and j.status = 'pending' and (j.queue, j.priority, j.run_at) = (r.queue, r.priority, r.run_at)
    ) = 0
  );
end
$$;
