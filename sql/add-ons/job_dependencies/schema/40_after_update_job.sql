-- Propagates changes of jobs within the statement that made them: in a report, that is before the
-- search for the worker's next job.
create or replace function supaqueue.propagate_updated_jobs_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  changed record;
  changes supaqueue.propagation[];
  requeued uuid[];
begin
  select array_agg(c.id) as jobs, array_agg(c.old_status) as old_statuses, array_agg(c.new_status) as new_statuses
  into changed
  from (
    select r.id, max(r.old_status) as old_status, max(r.new_status) as new_status
    from (
      select o.id, o.status as old_status, null as new_status from old_jobs o
      union all
      select n.id, null, n.status from new_jobs n
    ) r
    group by r.id
  ) c
  where c.old_status <> c.new_status and c.new_status <> 'in_progress';
  if changed.jobs is null then
    return null;
  end if;
  changes := supaqueue.with_dependencies(changed.jobs, changed.old_statuses, changed.new_statuses);
  if changes = '{}' then
    return null;
  end if;

  requeued := array(select c.source from unnest(changes) c where c.new_status in ('pending', 'waiting'));
  begin
    perform supaqueue.propagate(changes, requeued);
  exception
    when others then
      if requeued <> '{}' or sqlstate ~ '^(40|53|55|57|58)' then
        raise;
      end if;
      -- A trigger of the user's may refuse to change a target, but not to let its source end.
      raise warning 'the targets of job % are left to the tick: %', changes[1].source, sqlerrm;
      perform supaqueue.propagate(changes, _limit => 0);
  end;

  -- A report also goes on with what others left.
  if exists (select from unnest(changes) c where c.old_status = 'in_progress') then
    perform supaqueue.continue_propagations(100)
    where exists (select from supaqueue.propagation p where p.retry_at <= clock_timestamp());
  end if;
  return null;
end
$$;

create or replace trigger propagate_updated_jobs_tg
after update on supaqueue.job
referencing old table as old_jobs new table as new_jobs
for each statement
when (current_setting('supaqueue.own_change_depth', true) is distinct from pg_trigger_depth()::text)
execute function supaqueue.propagate_updated_jobs_tg_fn();
