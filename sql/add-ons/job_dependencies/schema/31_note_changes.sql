-- What happens when dependencies are inserted, updated or deleted: the changes are
-- noted, and counted at the end of the transaction (count_dependencies).

-- True when the transaction has no event yet that will count its changes.
--
-- Queues that the transaction woke before are taken from the core's list and
-- dispatched after the counting: a dispatch holds the locks of queues, and a
-- report that we would then wait for in the counting may be waiting for those.
create or replace function supaqueue.is_first_dependency_change()
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  woken record;
begin
  if current_setting('supaqueue.has_dependency_changes', true) = 'on' then
    return false;
  end if;
  perform set_config('supaqueue.has_dependency_changes', 'on', true);
  woken := supaqueue.take_wake_ups();
  perform set_config('supaqueue.queues_after_dependencies', woken.queues::text, true);
  perform set_config('supaqueue.usable_workers_after_dependencies', woken.has_usable_workers::text, true);
  return true;
end
$$;

create or replace function supaqueue.count_dependencies_tg_fn()
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
  queues_before uuid[] := current_setting('supaqueue.queues_after_dependencies')::uuid[];
  had_usable_workers boolean := current_setting('supaqueue.usable_workers_after_dependencies')::boolean;
begin
  perform set_config('supaqueue.has_dependency_changes', '', true);
  perform set_config('supaqueue.has_early_dependencies', '', true);
  perform supaqueue.count_dependencies(true);
  perform supaqueue.dispatch(queues_before || w.queues, had_usable_workers or w.has_usable_workers)
  from supaqueue.take_wake_ups() w;
  return null;
end
$$;

drop trigger if exists count_dependencies_tg on supaqueue.dependency_change;
create constraint trigger count_dependencies_tg
after insert on supaqueue.dependency_change
deferrable initially deferred
for each row when (new.is_first)
execute function supaqueue.count_dependencies_tg_fn();

-- A target must not start before the counting, so it waits from now on. One that
-- another transaction is starting is waited for, and refused then.
create or replace function supaqueue.note_added_dependencies_tg_fn()
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
  is_first boolean;
  targets uuid[] := (select array_agg(distinct a.target) from added a);
begin
  if targets is null then
    return null;
  end if;
  is_first := supaqueue.is_first_dependency_change();
  insert into supaqueue.dependency_change (source, target, on_failure, is_added, is_first)
  select a.source, a.target, a.on_failure, true, is_first and row_number() over () = 1 from added a;

  perform supaqueue.hold_targets(targets);
  perform supaqueue.refuse_started_targets(targets);

  if exists (
    select from unnest(targets) as t (id)
    where not exists (select from supaqueue.job j where j.id = t.id offset 0)
  ) then
    perform set_config('supaqueue.has_early_dependencies', 'on', true);
  end if;
  return null;
end
$$;

create or replace trigger note_added_dependencies_tg
after insert on supaqueue.job_dependencies
referencing new table as added
for each statement
execute function supaqueue.note_added_dependencies_tg_fn();

create or replace function supaqueue.note_updated_dependencies_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if exists (select o.source, o.target from old_rows o except select n.source, n.target from new_rows n) then
    raise exception 'cannot change source or target of a dependency'
      using errcode = 'feature_not_supported', hint = 'Delete the dependency and insert another.';
  end if;
  if exists (
    select n.source, n.target, n.on_failure from new_rows n
    except select o.source, o.target, o.on_failure from old_rows o
  ) then
    insert into supaqueue.dependency_change (source, target, on_failure, is_added, is_first)
    select c.source, c.target, c.on_failure, c.is_added, f.is_first and row_number() over () = 1
    from (select supaqueue.is_first_dependency_change()) as f (is_first)
    cross join (
      select o.source, o.target, o.on_failure, false as is_added from old_rows o
      union all
      select n.source, n.target, n.on_failure, true from new_rows n
    ) c;
  end if;
  return null;
end
$$;

create or replace trigger note_updated_dependencies_tg
after update on supaqueue.job_dependencies
referencing old table as old_rows new table as new_rows
for each statement
execute function supaqueue.note_updated_dependencies_tg_fn();

create or replace function supaqueue.note_deleted_dependencies_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if exists (select from deleted) then
    insert into supaqueue.dependency_change (source, target, on_failure, is_added, is_first)
    select d.source, d.target, d.on_failure, false, f.is_first and row_number() over () = 1
    from (select supaqueue.is_first_dependency_change()) as f (is_first)
    cross join deleted d;
  end if;
  return null;
end
$$;

-- Not when the add-on itself deletes the dependencies of deleted jobs.
create or replace trigger note_deleted_dependencies_tg
after delete on supaqueue.job_dependencies
referencing old table as deleted
for each statement
when (current_setting('supaqueue.deciding_at_depth', true) is distinct from pg_trigger_depth()::text)
execute function supaqueue.note_deleted_dependencies_tg_fn();

create or replace function supaqueue.refuse_truncate_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  raise exception 'cannot truncate supaqueue.job_dependencies: the jobs that wait would wait for ever'
    using errcode = 'feature_not_supported', hint = 'Use delete: what waits for nothing any more starts then.';
end
$$;

create or replace trigger refuse_truncate_tg
before truncate on supaqueue.job_dependencies
for each statement
execute function supaqueue.refuse_truncate_tg_fn();
