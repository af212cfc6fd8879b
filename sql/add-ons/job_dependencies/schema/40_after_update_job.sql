-- Propagates changes of jobs within the statement that made them: in a report, that is before the
-- search for the worker's next job.
create or replace function supaqueue.propagate_updated_jobs_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  has_changes boolean := coalesce(current_setting('supaqueue.has_dependency_changes', true), '') = 'on';
  jobs uuid[];
  old_statuses text[];
  new_statuses text[];
  requeued uuid[];
begin
  -- Only changes that matter to targets: whether the job is unfinished, whether it is successful.
  select array_agg(c.id), array_agg(c.old_status), array_agg(c.new_status)
  into jobs, old_statuses, new_statuses
  from (
    select r.id, max(r.old_status) as old_status, max(r.new_status) as new_status
    from (
      select o.id, o.status as old_status, null as new_status from old_jobs o
      union all
      select n.id, null, n.status from new_jobs n
    ) r
    group by r.id
  ) c
  where c.old_status <> c.new_status
    and (c.old_status in ('pending', 'waiting', 'in_progress'), c.old_status = 'successful')
      <> (c.new_status in ('pending', 'waiting', 'in_progress'), c.new_status = 'successful')
    and (
      exists (select from supaqueue.job_dependencies e where e.source = c.id order by e.target offset 0)
      or exists (select from supaqueue.dependent_job d where d.id = c.id offset 0)
      or has_changes and exists (
        select from supaqueue.dependency_change d
        where d.xact = pg_current_xact_id() and d.source = c.id offset 0
      )
    );
  if jobs is null then
    return null;
  end if;

  if has_changes then
    perform supaqueue.count_dependencies(false, jobs, old_statuses);
  end if;
  requeued := array(
    select c.job from unnest(jobs, old_statuses, new_statuses) as c (job, old_status, new_status)
    where c.old_status in ('successful', 'failed', 'cancelled') and c.new_status in ('pending', 'waiting')
  );
  perform supaqueue.lock_dependents(
    requeued, jobs, array['failed', 'cancelled'] && (old_statuses || new_statuses));
  update supaqueue.dependent_job d
  set is_cancelled_for_source = false
  where d.id = any (requeued) and d.is_cancelled_for_source;
  perform supaqueue.propagate(jobs, old_statuses, new_statuses, requeued);
  return null;
end
$$;

create or replace trigger propagate_updated_jobs_tg
after update on supaqueue.job
referencing old table as old_jobs new table as new_jobs
for each statement
when (current_setting('supaqueue.own_change_depth', true) is distinct from pg_trigger_depth()::text)
execute function supaqueue.propagate_updated_jobs_tg_fn();
