-- A source that is deleted before it finished counts as cancelled; one that had finished keeps its
-- effect. A dependency on a deleted source is kept if it still blocks its target, else deleted.
create or replace function supaqueue.propagate_deleted_jobs_tg_fn()
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
  outer_depth text := coalesce(current_setting('supaqueue.own_change_depth', true), '');
  jobs uuid[];
  old_statuses text[];
  new_statuses text[];
begin
  select
    array_agg(d.id),
    array_agg(d.status),
    array_agg(case when d.status in ('successful', 'failed') then d.status else 'cancelled' end)
  into jobs, old_statuses, new_statuses
  from deleted d
  where exists (select from supaqueue.job_dependencies e where e.source = d.id order by e.target offset 0)
    or exists (select from supaqueue.job_dependencies e where e.target = d.id order by e.source offset 0)
    or exists (select from supaqueue.dependent_job t where t.id = d.id offset 0)
    or has_changes and exists (
      select from supaqueue.dependency_change c
      where c.xact = pg_current_xact_id() and c.source = d.id offset 0
    );
  if jobs is null then
    return null;
  end if;

  if has_changes then
    perform supaqueue.count_dependencies(false, jobs, old_statuses);
    -- "is true" keeps the subquery hashed, so that each target is looked up once. With "= any",
    -- each one would be compared with all jobs.
    delete from supaqueue.dependency_change c
    where c.xact = pg_current_xact_id() and (c.target in (select unnest(jobs))) is true;
  end if;
  -- Dependencies of which the jobs are the target go first: their counts must not be locked below.
  perform set_config('supaqueue.own_change_depth', pg_trigger_depth()::text, true);
  delete from supaqueue.job_dependencies e where e.target = any (jobs);
  perform set_config('supaqueue.own_change_depth', outer_depth, true);

  perform supaqueue.lock_dependents('{}', jobs, array['failed', 'cancelled'] && new_statuses);
  perform supaqueue.propagate(jobs, old_statuses, new_statuses, '{}');

  perform set_config('supaqueue.own_change_depth', pg_trigger_depth()::text, true);
  delete from supaqueue.job_dependencies e
  using unnest(jobs, new_statuses) as c (job, status)
  cross join lateral (
    select d.ctid, d.on_failure from supaqueue.job_dependencies d where d.source = c.job offset 0
  ) d
  join supaqueue.dependency_effect f on f.status = c.status and f.on_failure = d.on_failure
  where e.ctid = d.ctid and f.unfinished = 0 and f.failed = 0;
  perform set_config('supaqueue.own_change_depth', outer_depth, true);

  -- Skips counts locked by a transaction that may be waiting for the job. A row left behind is
  -- recognised by its position.
  delete from supaqueue.dependent_job d
  where d.id = any (array(
    select t.id from supaqueue.dependent_job t where t.id = any (jobs) for update skip locked
  ));
  return null;
end
$$;

create or replace trigger propagate_deleted_jobs_tg
after delete on supaqueue.job
referencing old table as deleted
for each statement
execute function supaqueue.propagate_deleted_jobs_tg_fn();
