-- Bulk actions on jobs. A row is inserted by a user, checked by before_write_operation_tg, and done in
-- pieces by the tick: see operate.
create table supaqueue.operation (
  id uuid primary key default supaqueue.new_id(),
  created_at timestamptz not null default clock_timestamp(),
  created_by text not null default current_user,
  action text not null,
  filter jsonb not null,
  changes jsonb,
  per_second integer,
  status text not null default 'running',
  matched bigint not null default 0,
  done bigint not null default 0,
  refused bigint not null default 0,
  last_refusal text,
  finished_at timestamptz,
  plan jsonb not null,
  cursor jsonb,
  paced_at timestamptz not null default clock_timestamp(),
  worked_at timestamptz,
  constraint action_is_retry_cancel_delete_or_change check (action in ('retry', 'cancel', 'delete', 'change')),
  constraint changes_are_for_change check ((changes is not null) = (action = 'change')),
  constraint per_second_is_positive check (per_second >= 1),
  constraint status_is_running_done_or_stopped check (status in ('running', 'done', 'stopped')),
  constraint each_job_that_matched_was_done_or_refused check (matched = done + refused)
) with (fillfactor = 50);
alter table supaqueue.operation enable row level security;
create index operation_running on supaqueue.operation (worked_at) where status = 'running';
create index operation_finished_at on supaqueue.operation (finished_at) where finished_at is not null;

comment on table supaqueue.operation is 'Bulk actions on jobs: inserting a row starts one, and the tick does it in pieces. See supaqueue.preview() before';
comment on column supaqueue.operation.action is 'retry (failed and cancelled jobs; successful ones if the filter names them), cancel, delete, or change (jobs that have not ended)';
comment on column supaqueue.operation.filter is 'Which jobs, as for supaqueue.list_jobs(): {"queue": "emails", "status": "failed"}. Only those that matched when the row was inserted';
comment on column supaqueue.operation.changes is 'Of a change: the new values, of priority, run_at, max_attempts, timeout_ms, headers, path, payload, queue';
comment on column supaqueue.operation.per_second is 'How many jobs a second, at most; null: as fast as it goes. Can be updated';
comment on column supaqueue.operation.status is 'running, done or stopped. Update it to stopped to stop before the next piece, and to running to go on';
comment on column supaqueue.operation.matched is 'The jobs so far that the filter matched: each was done or refused';
comment on column supaqueue.operation.done is 'The jobs so far that were retried, cancelled, deleted or changed';
comment on column supaqueue.operation.refused is 'The jobs so far that were left as they were';
comment on column supaqueue.operation.last_refusal is 'The last job that was left as it was, and why';
comment on column supaqueue.operation.finished_at is 'When it was done or stopped; it is kept for 30 days';
comment on column supaqueue.operation.created_by is 'The role that inserted it';
comment on column supaqueue.operation.plan is 'The filter as it is applied, with the ids of queues; kept by Supaqueue, like the columns after it';
comment on column supaqueue.operation.cursor is 'The last job that was looked at; null: none was';
comment on column supaqueue.operation.paced_at is 'Up to when per_second is used up';
comment on column supaqueue.operation.worked_at is 'When the last piece was done';
