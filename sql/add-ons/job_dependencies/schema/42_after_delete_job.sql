-- Forgets what deleted jobs waited for.
create or replace function supaqueue.forget_targets(_jobs uuid[])
returns void
language sql
set search_path = ''
as $$
  -- "is true" keeps the subquery hashed, so that each target is looked up once. With "= any",
  -- each one would be compared with all jobs.
  delete from supaqueue.dependency_change c
  where c.xact = pg_current_xact_id() and (c.target in (select unnest(_jobs))) is true;
  select supaqueue.delete_edges(array(
    select e.ctid from supaqueue.job_dependencies e where e.target = any (_jobs)
  ));
  -- Counts locked by a transaction that may be waiting for the job are skipped: a row left behind is recognised
  -- by its position.
  delete from supaqueue.dependent_job d
  where d.id = any (array(
    select t.id from supaqueue.dependent_job t where t.id = any (_jobs) for update skip locked
  ))
$$;

-- A source that is deleted before it finished counts as cancelled; one that had finished keeps its
-- effect. A dependency on a deleted source is kept if it still blocks its target, else deleted.
create or replace function supaqueue.propagate_deleted_jobs_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  deleted_jobs record;
  changes supaqueue.propagation[];
begin
  select array_agg(d.id) as ids, array_agg(d.status) as old_statuses,
    array_agg(case when d.status in ('successful', 'failed') then d.status else 'cancelled' end) as new_statuses
  into deleted_jobs
  from deleted d;
  if deleted_jobs.ids is null then
    return null;
  end if;
  changes := supaqueue.with_dependencies(deleted_jobs.ids, deleted_jobs.old_statuses, deleted_jobs.new_statuses, true);
  if changes = '{}' then
    return null;
  end if;
  perform supaqueue.forget_targets(array(select c.source from unnest(changes) c));
  perform supaqueue.propagate(changes);
  return null;
end
$$;

create or replace trigger propagate_deleted_jobs_tg
after delete on supaqueue.job
referencing old table as deleted
for each statement
execute function supaqueue.propagate_deleted_jobs_tg_fn();
