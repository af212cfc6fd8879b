-- Sets a job, which is locked (lock_job), to in_progress, and returns its record.
--
-- Users' triggers run within this: they find what they expect in the search path, and none of our
-- planner settings (see plan_settings).
create or replace function supaqueue.take_job(place refcursor)
returns jsonb
language plpgsql
set search_path = public, extensions
as $$
declare
  job_record jsonb;
begin
  update supaqueue.job j
  set status = 'in_progress', attempts = j.attempts + 1, started_at = clock_timestamp()
  where current of place
  returning supaqueue.job_record(j) into job_record;
  if not found then
    perform supaqueue.refuse_skipped_update();
  end if;
  close place;
  return job_record;
end
$$;

-- The same for jobs that are locked; returns their records in the same order. It is planned each time, as in
-- settle_successes.
create or replace function supaqueue.take_together(_jobs uuid[])
returns jsonb[]
language plpgsql
set search_path = public, extensions
as $$
declare
  records jsonb[];
begin
  if _jobs = '{}' then
    return '{}';
  end if;
  execute $sql$
    with taken as (
      update supaqueue.job j
      set status = 'in_progress', attempts = j.attempts + 1, started_at = clock_timestamp()
      from unnest($1) with ordinality as o (id, number)
      where j.id = o.id
      returning o.number, supaqueue.job_record(j) as record
    )
    select array_agg(t.record order by t.number) from taken t
  $sql$ into records using _jobs;
  if cardinality(records) is distinct from cardinality(_jobs) then
    perform supaqueue.refuse_skipped_update();
  end if;
  return records;
end
$$;

-- Takes jobs, and returns those that could be taken. One that cannot be started, because a trigger of
-- the user's raises for example, does not keep others from starting: it is put aside for a while.
create or replace function supaqueue.take_jobs(_jobs uuid[])
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  _job uuid;
  job supaqueue.job;
  jobs uuid[] := '{}';
begin
  begin
    perform supaqueue.take_job((supaqueue.lock_job(j.id)).place) from unnest(_jobs) as j (id);
    return _jobs;
  exception
    when others then
      null;
  end;

  foreach _job in array _jobs loop
    begin
      perform supaqueue.take_job((supaqueue.lock_job(_job)).place);
      jobs := jobs || _job;
    exception
      when others then
        select j.* into job from supaqueue.job j where j.id = _job;
        perform supaqueue.note_unfinished('start', job.queue, job.id, sqlstate, sqlerrm);
        delete from supaqueue.ready_job r
        where r.queue = job.queue and r.priority = job.priority and r.run_at = job.run_at and r.position = job.position;
        insert into supaqueue.held_job (job, queue, until)
        select job.id, job.queue, greatest(max(u.retry_at), clock_timestamp() + interval '5 seconds')
        from supaqueue.unfinished u
        where u.job = job.id and u.step = 'start';
    end;
  end loop;
  return jobs;
end
$$;
