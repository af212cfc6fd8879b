-- Returns the changes of jobs that affect dependencies, as propagations that have not started.
create or replace function supaqueue.with_dependencies(
  _jobs uuid[], _old_statuses text[], _new_statuses text[], are_deleted boolean default false
)
returns supaqueue.propagation[]
language plpgsql
set search_path = ''
as $$
declare
  has_changes boolean := coalesce(current_setting('supaqueue.has_dependency_changes', true), '') = 'on';
begin
  return array(
    select (
      c.job, null, c.old_status, c.new_status, are_deleted,
      '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 1000, null, '-infinity'
    )::supaqueue.propagation
    from unnest(_jobs, _old_statuses, _new_statuses) as c (job, old_status, new_status)
    where (
      are_deleted
      -- Whether it is unfinished, whether it is successful.
      or (c.old_status in ('pending', 'waiting', 'in_progress'), c.old_status = 'successful')
        <> (c.new_status in ('pending', 'waiting', 'in_progress'), c.new_status = 'successful')
    ) and (
      current_setting('transaction_isolation') <> 'read committed'
      or exists (select from supaqueue.job_dependencies e where e.source = c.job order by e.target offset 0)
      or exists (select from supaqueue.dependent_job d where d.id = c.job offset 0)
      or are_deleted and exists (select from supaqueue.job_dependencies e where e.target = c.job order by e.source offset 0)
      or has_changes and exists (
        select from supaqueue.dependency_change d where d.xact = pg_current_xact_id() and d.source = c.job offset 0
      )
    )
  );
end
$$;
