-- Passes on what became of jobs in the statement that changed them: inside a report,
-- this is before the search for the worker's next job.
create or replace function supaqueue.pass_on_updated_jobs_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
  jobs uuid[];
  old_statuses text[];
  new_statuses text[];
  requeued uuid[];
begin
  -- Only what changes for targets: still open or not, successful or not.
  select array_agg(n.id), array_agg(o.status), array_agg(n.status)
  into jobs, old_statuses, new_statuses
  from new_jobs n
  join old_jobs o on o.id = n.id
  where o.status <> n.status
    and (o.status in ('pending', 'waiting', 'in_progress'), o.status = 'successful')
      <> (n.status in ('pending', 'waiting', 'in_progress'), n.status = 'successful')
    -- offset 0: by index, never by reading whole tables.
    and (
      exists (select from supaqueue.job_dependencies e where e.source = n.id offset 0)
      or exists (select from supaqueue.dependent_job d where d.id = n.id offset 0)
    );
  if jobs is null then
    return null;
  end if;

  if current_setting('supaqueue.has_dependency_changes', true) = 'on' then
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
  perform supaqueue.pass_on(jobs, old_statuses, new_statuses, requeued);
  return null;
end
$$;

create or replace trigger pass_on_updated_jobs_tg
after update on supaqueue.job
referencing old table as old_jobs new table as new_jobs
for each statement
when (current_setting('supaqueue.deciding_at_depth', true) is distinct from pg_trigger_depth()::text)
execute function supaqueue.pass_on_updated_jobs_tg_fn();
