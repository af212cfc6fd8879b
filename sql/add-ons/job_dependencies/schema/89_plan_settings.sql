-- Makes functions use indexes even with a stale plan (see the core's plan_settings). None of them updates
-- supaqueue.job, because users' triggers there must see their own settings.
do $$
declare
  _function regprocedure;
begin
  for _function in
    select p.oid
    from pg_catalog.pg_proc p
    where p.pronamespace = 'supaqueue'::regnamespace and p.proname = any (array[
      'reachable', 'places_of', 'delete_edges', 'refuse_cycle', 'with_dependencies', 'affected_targets', 'decide_targets',
      'take_propagations', 'put_off_propagations', 'wait_for_job_lock', 'lock_pending_jobs', 'refuse_unknown_jobs',
      'refuse_started_targets', 'try_lock_jobs', 'lock_for_counting', 'take_dependency_changes',
      'check_dependency_changes', 'forget_targets', 'keep_source_tg_fn', 'add_results_tg_fn', 'edges_of', 'connected', 'show_pipeline',
      'list_pipelines'
    ])
  loop
    execute format(
      'alter function %s set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off '
      'set jit = off set plan_cache_mode = force_generic_plan', _function);
  end loop;
end
$$;
