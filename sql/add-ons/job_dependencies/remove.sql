-- Removes job dependencies from Supaqueue, and nothing else. Run it as postgres; running it again
-- is safe.
--
-- Fails while jobs wait for others: released, they would run before the jobs they depend on; left
-- alone, they would wait for ever. Jobs that have started, and waiting jobs without dependencies,
-- are not changed.
do $$
declare
  waiting bigint;
  _trigger text;
begin
  if to_regclass('supaqueue.job_dependencies') is null then
    return;
  end if;

  -- All tables at once: taken one by one, they could deadlock with a tick or a report.
  perform supaqueue.take_tables();
  waiting := (
    select count(*) from supaqueue.job j
    where j.status = 'waiting' and j.id in (select e.target from supaqueue.job_dependencies e)
  );
  if waiting > 0 then
    raise exception 'cannot remove job dependencies: % jobs wait for others', waiting
      using errcode = 'object_in_use',
        hint = 'Let them finish, or cancel them: update supaqueue.job set status = ''cancelled'' where status = ''waiting'' '
          'and id in (select target from supaqueue.job_dependencies), or start them: delete from supaqueue.job_dependencies.';
  end if;

  foreach _trigger in array array[
    'add_results_tg', 'hold_inserted_jobs_tg', 'keep_source_tg', 'propagate_deleted_jobs_tg',
    'propagate_truncated_jobs_tg', 'propagate_updated_jobs_tg'
  ] loop
    execute format('drop trigger if exists %I on supaqueue.job', _trigger);
  end loop;
  drop view if exists supaqueue.dependency_effect;
  drop table
    supaqueue.job_dependencies, supaqueue.dependent_job, supaqueue.dependency_change, supaqueue.dependency_turn;
  drop function
    supaqueue.enqueue(varchar, jsonb, integer, timestamptz, jsonb, integer, integer, text, text, text, text, uuid[], text, boolean),
    supaqueue.enqueue_outcome(varchar, jsonb, integer, timestamptz, jsonb, integer, integer, text, text, text, text, uuid[], text, boolean),
    supaqueue.edges_of(uuid, text),
    supaqueue.explain_waiting(uuid),
    supaqueue.list_pipelines(integer, text),
    supaqueue.show_pipeline(uuid, integer),
    supaqueue.connected(uuid, integer),
    supaqueue.pipeline_mermaid(uuid, integer),
    supaqueue.pipeline(uuid),
    supaqueue.enqueue_pipeline(jsonb),
    supaqueue.pipeline_problem(jsonb),
    supaqueue.add_results_tg_fn(),
    supaqueue.propagate_truncated_jobs_tg_fn(),
    supaqueue.keep_source_tg_fn(),
    supaqueue.propagate_deleted_jobs_tg_fn(),
    supaqueue.forget_targets(uuid[]),
    supaqueue.hold_inserted_jobs_tg_fn(),
    supaqueue.propagate_updated_jobs_tg_fn(),
    supaqueue.refuse_truncate_tg_fn(),
    supaqueue.record_dependency_changes_tg_fn(),
    supaqueue.count_dependencies_tg_fn(),
    supaqueue.take_dependency_changes(),
    supaqueue.check_dependency_changes(),
    supaqueue.lock_for_counting(uuid[], uuid[]),
    supaqueue.try_lock_jobs(uuid[], uuid[]),
    supaqueue.refuse_started_targets(uuid[]),
    supaqueue.refuse_unknown_jobs(),
    supaqueue.hold_jobs(uuid[]),
    supaqueue.places_of(uuid[]),
    supaqueue.lock_pending_jobs(uuid[]),
    supaqueue.wait_for_job_lock(uuid),
    supaqueue.tick_job_dependencies(),
    supaqueue.continue_propagations(integer),
    supaqueue.put_off_propagations(supaqueue.propagation[], text, text),
    supaqueue.take_propagations(integer),
    supaqueue.propagate(supaqueue.propagation[], uuid[], integer, boolean),
    supaqueue.update_targets(supaqueue.target_change[]),
    supaqueue.decide_targets(supaqueue.target_change[]),
    supaqueue.affected_targets(supaqueue.propagation[], uuid[], integer, boolean),
    supaqueue.with_dependencies(uuid[], text[], text[], boolean),
    supaqueue.refuse_cycle(),
    supaqueue.delete_edges(tid[]),
    supaqueue.reachable(uuid[]),
    supaqueue.find_cycle(text[], text[]);
  drop table supaqueue.propagation;
  drop type supaqueue.target_change;
  delete from supaqueue.unfinished u where u.step = 'learn that a source ended';
  delete from supaqueue.version v where v.part = 'job_dependencies';
end
$$;
