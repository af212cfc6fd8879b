-- Records changes to dependencies, which are counted at the commit: the trigger of the first one counts all
-- (count_dependencies_tg_fn).
--
-- Queues that the transaction has woken before are taken from the core's list and dispatched after the counting: a
-- dispatch holds the locks of queues, and a report on which the counting blocks may need them.
create or replace function supaqueue.record_dependency_changes_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  old_edges supaqueue.job_dependencies[] := '{}';
  new_edges supaqueue.job_dependencies[] := '{}';
  targets uuid[];
  is_first boolean := coalesce(current_setting('supaqueue.has_dependency_changes', true), '') <> 'on';
begin
  if tg_op <> 'INSERT' then
    old_edges := array(select o::supaqueue.job_dependencies from old_rows o);
  end if;
  if tg_op <> 'DELETE' then
    new_edges := array(select n::supaqueue.job_dependencies from new_rows n);
  end if;
  if tg_op = 'UPDATE' then
    if exists (select o.source, o.target from old_rows o except select n.source, n.target from new_rows n) then
      raise exception 'cannot change the source or target of a dependency'
        using errcode = 'feature_not_supported', hint = 'Delete the dependency and insert another.';
    end if;
  end if;
  if old_edges || new_edges = '{}' then
    return null;
  end if;

  if is_first then
    perform set_config('supaqueue.has_dependency_changes', 'on', true),
      set_config('supaqueue.queues_after_dependencies', w.queues::text, true),
      set_config('supaqueue.usable_workers_after_dependencies', w.has_usable_workers::text, true)
    from supaqueue.take_wake_ups() w;
  end if;
  insert into supaqueue.dependency_change (source, target, on_failure, is_added, is_first)
  select c.source, c.target, c.on_failure, c.is_added, is_first and row_number() over () = 1
  from (
    select o.source, o.target, o.on_failure, false as is_added from unnest(old_edges) o
    union all
    select n.source, n.target, n.on_failure, true from unnest(new_edges) n
  ) c;
  if tg_op = 'INSERT' then
    -- A target must not start before the counting, so it waits from now on. If another transaction is
    -- starting it, this waits for that transaction and then fails.
    targets := array(select distinct n.target from unnest(new_edges) n);
    perform supaqueue.hold_jobs(targets);
    perform supaqueue.refuse_started_targets(targets);
    if cardinality(targets) > cardinality(supaqueue.places_of(targets)) then
      perform set_config('supaqueue.has_early_dependencies', 'on', true);
    end if;
  end if;
  return null;
end
$$;

create or replace trigger record_added_dependencies_tg
after insert on supaqueue.job_dependencies
referencing new table as new_rows
for each statement
execute function supaqueue.record_dependency_changes_tg_fn();

create or replace trigger record_updated_dependencies_tg
after update on supaqueue.job_dependencies
referencing old table as old_rows new table as new_rows
for each statement
execute function supaqueue.record_dependency_changes_tg_fn();

-- Does not fire when the add-on itself deletes the dependencies of deleted jobs.
create or replace trigger record_deleted_dependencies_tg
after delete on supaqueue.job_dependencies
referencing old table as old_rows
for each statement
when (current_setting('supaqueue.own_change_depth', true) is distinct from pg_trigger_depth()::text)
execute function supaqueue.record_dependency_changes_tg_fn();

create or replace function supaqueue.refuse_truncate_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  raise exception 'cannot truncate supaqueue.job_dependencies: waiting jobs would never start'
    using errcode = 'feature_not_supported', hint = 'Use delete instead: it releases the jobs that have nothing left to wait for.';
end
$$;

create or replace trigger refuse_truncate_tg
before truncate on supaqueue.job_dependencies
for each statement
execute function supaqueue.refuse_truncate_tg_fn();
