-- Has a job run as soon as a worker of its queue is free, and says what happens now. A job that is due later, or was put
-- aside, is due now, one that is held by hand is released, and one that has ended runs again, with all its attempts. Its
-- place among the due jobs is that of its priority and of this moment.
create or replace function supaqueue.run_now(job uuid)
returns text
language plpgsql
set search_path = public, extensions
as $$
declare
  locked record := supaqueue.lock_job(job);
  place refcursor := locked.place;
  status text := locked.status;
  waits_for text;
begin
  if place is null then
    raise exception 'cannot run job %: there is no such job', coalesce(job::text, 'null')
      using errcode = 'no_data_found', hint = 'It was never committed, or it was deleted, as finished jobs are after a while.';
  end if;
  if status = 'waiting' and to_regprocedure('supaqueue.explain_waiting(uuid)') is not null then
    execute 'select supaqueue.explain_waiting($1)' into waits_for using job;
    if waits_for is not null then
      raise exception 'cannot run job %: %', job, lower(left(waits_for, 1)) || substr(rtrim(waits_for, '.'), 2)
        using errcode = 'object_not_in_prerequisite_state',
          hint = format('Delete the dependencies that it is not to wait for: delete from supaqueue.job_dependencies where target = %L;', job);
    end if;
  end if;
  if status <> 'in_progress' and (status <> 'pending' or supaqueue.is_held(job)) then
    update supaqueue.job j set status = 'pending', run_at = clock_timestamp() where current of place;
    if (supaqueue.lock_job(job)).status <> 'pending' then
      raise exception 'cannot run %', supaqueue.refusal('retry', null, job)
        using errcode = 'object_not_in_prerequisite_state', hint = 'It stays as it is. When the reason is gone, try again.';
    end if;
  end if;
  close place;
  return supaqueue.explain(job);
end
$$;
comment on function supaqueue.run_now is 'Has a job run as soon as a worker is free: one that is due later, is held, or has ended; returns what happens now';

-- Whether a job has a row in held_job.
create or replace function supaqueue.is_held(_job uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (select from supaqueue.held_job h where h.job = _job);
end
$$;
