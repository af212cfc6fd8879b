-- Counts the transaction's changes to dependencies at its commit, then dispatches.
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
