select supaqueue.protect_new_objects(
  '{
    "queue": "insert, update, delete",
    "worker": "insert, update (queue), delete",
    "job": "insert, update (queue, payload, status, priority, run_at, headers, path, tenant, key, max_attempts, timeout_ms, attempts), delete",
    "schedule": "insert, update (name, queue, cron, every, timezone, payload, headers, priority, path, timeout_ms, max_attempts, tenant, key, is_paused, missed, catch_up_within, overlap, spread, pause_after_failures), delete",
    "setting": "update",
    "operation": "insert (action, filter, changes, per_second), update (status, per_second)"
  }',
  array[
    'end_current_job', 'end_current_jobs', 'supaqueue_pulse', 'supaqueue_enqueue', 'supaqueue_enqueue_many', 'checked_options', 'enqueue', 'enqueue_outcome', 'enqueue_many', 'check_on_conflict', 'holder_of', 'is_unstarted', 'change_holder', 'merged_payload', 'lock_job',
    'refuse_skipped_update', 'explain', 'reason', 'problems', 'ago', 'queue_id', 'schedule_tick',
    'set_workers', 'new_id', 'is_headers', 'is_below_function', 'schedule', 'unschedule', 'run_schedule', 'next_times', 'backfill',
    'explain_schedule', 'check_filter', 'list_jobs', 'show_job', 'preview', 'run_now', 'find_jobs', 'filter_statuses', 'filter_segments',
    'segment_query', 'places_query', 'living_jobs', 'filter_conditions', 'job_summaries', 'write_cursor', 'read_cursor', 'operation_plan',
    'check_changes', 'broken_rule', 'is_held', 'refusal', 'has_call', 'attempts_of', 'percent_encoded', 'chart', 'percentile', 'histogram_bounds', 'error_group', 'failures', 'metrics', 'oldest_due'
  ]
);

-- The default of job.id, for roles that the developer lets insert jobs.
grant execute on function supaqueue.new_id() to public;
