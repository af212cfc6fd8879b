-- When dependencies are inserted, updated or deleted, the changes are recorded, and counted at the
-- commit (count_dependencies).

-- A target must not start before the counting, so it is set to waiting now. If another transaction
-- is starting it, this waits for that transaction and then fails.
create or replace function supaqueue.record_added_dependencies_tg_fn()
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
  is_first := supaqueue.begin_dependency_changes();
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

create or replace trigger record_added_dependencies_tg
after insert on supaqueue.job_dependencies
referencing new table as added
for each statement
execute function supaqueue.record_added_dependencies_tg_fn();

create or replace function supaqueue.record_updated_dependencies_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if exists (select o.source, o.target from old_rows o except select n.source, n.target from new_rows n) then
    raise exception 'cannot change the source or target of a dependency'
      using errcode = 'feature_not_supported', hint = 'Delete the dependency and insert another.';
  end if;
  if exists (
    select n.source, n.target, n.on_failure from new_rows n
    except select o.source, o.target, o.on_failure from old_rows o
  ) then
    insert into supaqueue.dependency_change (source, target, on_failure, is_added, is_first)
    select c.source, c.target, c.on_failure, c.is_added, f.is_first and row_number() over () = 1
    from (select supaqueue.begin_dependency_changes()) as f (is_first)
    cross join (
      select o.source, o.target, o.on_failure, false as is_added from old_rows o
      union all
      select n.source, n.target, n.on_failure, true from new_rows n
    ) c;
  end if;
  return null;
end
$$;

create or replace trigger record_updated_dependencies_tg
after update on supaqueue.job_dependencies
referencing old table as old_rows new table as new_rows
for each statement
execute function supaqueue.record_updated_dependencies_tg_fn();

create or replace function supaqueue.record_deleted_dependencies_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if exists (select from deleted) then
    insert into supaqueue.dependency_change (source, target, on_failure, is_added, is_first)
    select d.source, d.target, d.on_failure, false, f.is_first and row_number() over () = 1
    from (select supaqueue.begin_dependency_changes()) as f (is_first)
    cross join deleted d;
  end if;
  return null;
end
$$;

-- Does not fire when the add-on itself deletes the dependencies of deleted jobs.
create or replace trigger record_deleted_dependencies_tg
after delete on supaqueue.job_dependencies
referencing old table as deleted
for each statement
when (current_setting('supaqueue.own_change_depth', true) is distinct from pg_trigger_depth()::text)
execute function supaqueue.record_deleted_dependencies_tg_fn();

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
