-- Counts the transaction's changes to dependencies at its commit: checks those that it added, and updates the
-- statuses of the targets. Then propagates what had to wait for that, and dispatches.
create or replace function supaqueue.count_dependencies_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  queues_before uuid[] := current_setting('supaqueue.queues_after_dependencies')::uuid[];
  had_usable_workers boolean := current_setting('supaqueue.usable_workers_after_dependencies')::boolean;
begin
  perform set_config('supaqueue.has_dependency_changes', '', true);
  perform set_config('supaqueue.has_early_dependencies', '', true);
  perform supaqueue.check_dependency_changes();
  perform supaqueue.propagate(supaqueue.update_targets(supaqueue.take_dependency_changes()), may_wait => false);
  if current_setting('supaqueue.has_propagations', true) = 'on' then
    perform supaqueue.continue_propagations(1000);
  end if;
  perform supaqueue.dispatch(queues_before || w.queues, had_usable_workers or w.has_usable_workers)
  from supaqueue.take_wake_ups() w
  where queues_before || w.queues <> '{}';
  return null;
end
$$;

drop trigger if exists count_dependencies_tg on supaqueue.dependency_change;
create constraint trigger count_dependencies_tg
after insert on supaqueue.dependency_change
deferrable initially deferred
for each row when (new.is_first)
execute function supaqueue.count_dependencies_tg_fn();
