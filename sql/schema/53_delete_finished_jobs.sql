-- Deletes finished jobs that are counted and that their queue no longer keeps, the oldest first, at most retention_batch;
-- returns whether there may be more. Looks at 100 queues at a time, and goes on with the others at
-- the next tick.
--
-- In a trigger, an add-on that must keep a job finds the setting supaqueue.is_retention 'on', and
-- may skip the row.
create or replace function supaqueue.delete_finished_jobs()
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  batch integer := (supaqueue.settings()).retention_batch;
  queues uuid[] := array(
    select q.id from supaqueue.queue q
    where q.id > coalesce((select t.cleaned_until from supaqueue.last_tick t), '00000000-0000-0000-0000-000000000000')
    order by q.id
    limit 100
  );
  jobs uuid[] := supaqueue.jobs_to_delete(queues, batch);
begin
  if cardinality(jobs) < batch then
    update supaqueue.last_tick t set cleaned_until = queues[100] where t.cleaned_until is distinct from queues[100];
  end if;
  if jobs = '{}' then
    return false;
  end if;
  perform set_config('supaqueue.is_retention', 'on', true);
  perform supaqueue.delete_jobs(jobs);
  perform set_config('supaqueue.is_retention', '', true);
  -- Those that were kept are not looked at again for a while.
  insert into supaqueue.unfinished (step, queue, job, retry_at)
  select 'delete', j.queue, j.id, clock_timestamp() + interval '1 hour'
  from supaqueue.job j
  where j.id = any (jobs) and not exists (select from supaqueue.unfinished u where u.step = 'delete' and u.job = j.id);
  return cardinality(jobs) = batch;
end
$$;

create or replace function supaqueue.jobs_to_delete(_queues uuid[], _limit integer)
returns uuid[]
language plpgsql
set search_path = ''
set lock_timeout = '1s'
as $$
begin
  return array(
    select old.id
    from (select o.* from supaqueue.queue o where o.id = any (_queues) offset 0) q
    join supaqueue.counted c on c.queue = q.id
    -- Jobs that hold their keys are not walked over each time.
    cross join lateral (values
      ('successful', case when q.keep_successful_for is not null then greatest(q.keep_successful_for, q.key_held_for) end),
      ('cancelled', q.keep_successful_for),
      ('failed', q.keep_failed_for)
    ) as kept (status, duration)
    cross join lateral (
      select f.id
      from supaqueue.job f
      where f.queue = q.id and f.ended_as = kept.status and f.finished_at <= least(c.until, now() - kept.duration)
        and (f.key_held_until > clock_timestamp() and f.key_held_until < 'infinity') is not true
        and not exists (
          select from supaqueue.unfinished u
          where u.job = f.id and u.step = 'delete' and u.retry_at > clock_timestamp()
        )
      order by f.finished_at
      limit _limit
      for update of f skip locked
    ) old
    where kept.duration is not null
    limit _limit
  );
end
$$;

-- Deletes jobs. If that fails, because a foreign key of the user's refers to one for example, it
-- halves them until the ones that cannot be deleted are alone.
create or replace function supaqueue.delete_jobs(_jobs uuid[])
returns void
language plpgsql
set search_path = public, extensions
as $$
declare
  half integer := cardinality(_jobs) / 2;
begin
  delete from supaqueue.job j where j.id = any (_jobs);
exception
  when others then
    if half = 0 then
      perform supaqueue.note_unfinished('delete', j.queue, j.id, sqlstate, sqlerrm)
      from supaqueue.job j
      where j.id = _jobs[1];
    else
      perform supaqueue.delete_jobs(_jobs[:half]);
      perform supaqueue.delete_jobs(_jobs[half + 1:]);
    end if;
end
$$;
