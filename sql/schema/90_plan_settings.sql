-- Makes functions that look rows up use indexes even with a stale plan: a session that planned a
-- statement when a table held three jobs would still read the whole table when it holds a million.
--
-- None of these functions updates supaqueue.job, because users' triggers there must see their own
-- settings. See lock_job.
do $$
declare
  function record;
begin
  for function in
    select p.oid::regprocedure as name, p.proname = any (searches) as is_search
    from pg_catalog.pg_proc p
    cross join (values (
      -- Each setting costs a report a microsecond: look-ups by one key need only the first.
      array['place_job_tg_fn', 'add_place', 'has_call', 'key_state', 'holder_of', 'lock_expired_holder', 'is_unstarted', 'call_of', 'is_settled', 'is_being_changed', 'lock_job', 'lock_call', 'end_call', 'end_call_of', 'begin_call',
        'renew_call', 'complete_call', 'begin_held_call', 'is_call', 'lock_with_others', 'renew_run', 'is_alive', 'queue_of_worker', 'limits_of', 'needs_of', 'bytes_of', 'record', 'leave_to_tick', 'note_unfinished', 'note_start', 'is_put_off', 'note_done', 'lock_due_schedule', 'failures_in_a_row', 'is_held', 'refusal', 'has_operation', 'lock_operation', 'note_end'],
      array['lower_fronts', 'move_front', 'reset_front', 'admit_jobs', 'next_jobs', 'adopt_calls', 'free_workers', 'lock_workers',
        'set_locked', 'lock_calls_to_report', 'replace_calls', 'handed_out', 'claimed', 'room_left', 'dropped_calls', 'lock_sent_calls', 'take_sent_calls', 'has_next_job',
        'again_in_ms', 'due_schedules', 'send_current_jobs', 'misplaced_jobs', 'jobs_after',
        'stale_places', 'expired_holders', 'end_jobs', 'unfinished_ends', 'count_ended_jobs', 'count_queue', 'delete_minutes', 'chart', 'failures', 'metrics', 'oldest_due', 'jobs_to_delete', 'queues_to_look_after', 'request_outcome', 'purge_tick_history',
        'find_jobs', 'job_summaries', 'preview', 'lock_jobs_to_act_on', 'refusable_jobs']
    )) as f (look_ups, searches)
    where p.pronamespace = 'supaqueue'::regnamespace and p.proname = any (look_ups || searches)
  loop
    execute format('alter function %s set enable_seqscan = off', function.name);
    if function.is_search then
      execute format(
        'alter function %s set enable_bitmapscan = off set enable_mergejoin = off set enable_hashjoin = off '
        'set jit = off set plan_cache_mode = force_generic_plan', function.name);
    end if;
    -- A page is read in the order of an index, and sorting or sharing the work would read all of it first.
    if function.name::text ~ '\.(find_jobs|preview)\(' then
      execute format('alter function %s set enable_sort = off set max_parallel_workers_per_gather = 0', function.name);
    end if;
  end loop;
end
$$;
