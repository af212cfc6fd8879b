-- What holds for all queues: one row, in force as soon as it is updated. See settings().
create table supaqueue.setting (
  is_only_row boolean primary key default true,
  jobs_per_request integer not null default 20,
  dispatch_timeout_ms integer not null default 10000,
  dispatch_lease_ms integer not null default 15000,
  max_dispatches integer not null default 5,
  run_lease_ms integer not null default 60000,
  linger_ms integer not null default 5000,
  poll_ms integer not null default 50,
  max_retry_after_ms integer not null default 86400000,
  max_errors integer not null default 20,
  retention_batch integer not null default 10000,
  keep_minutes_for interval not null default '30 days',
  constraint there_is_only_one_row check (is_only_row),
  constraint jobs_per_request_is_between_1_and_200 check (jobs_per_request between 1 and 200),
  constraint dispatch_timeout_is_between_1_and_60_seconds check (dispatch_timeout_ms between 1000 and 60000),
  constraint dispatch_lease_is_at_least_1_second check (dispatch_lease_ms between 1000 and 3600000),
  constraint max_dispatches_is_positive check (max_dispatches between 1 and 1000),
  constraint run_lease_is_between_15_seconds_and_10_minutes check (run_lease_ms between 15000 and 600000),
  constraint linger_is_at_most_1_minute check (linger_ms between 0 and 60000),
  constraint poll_is_between_10_ms_and_10_seconds check (poll_ms between 10 and 10000),
  constraint max_retry_after_is_not_negative check (max_retry_after_ms >= 0),
  constraint max_errors_is_positive check (max_errors between 1 and 1000),
  constraint retention_batch_is_positive check (retention_batch between 1 and 1000000),
  constraint keep_minutes_for_is_between_0_and_1000_years check (keep_minutes_for between interval '0' and interval '1000 years')
);

alter table supaqueue.setting enable row level security;

comment on table supaqueue.setting is 'Settings of Supaqueue as a whole: one row, in force as soon as it is updated';
comment on column supaqueue.setting.jobs_per_request is 'Current jobs sent to the supaqueue function in one request, at most';
comment on column supaqueue.setting.dispatch_timeout_ms is 'How long pg_net waits for the supaqueue function to accept a request, in milliseconds';
comment on column supaqueue.setting.dispatch_lease_ms is 'How long a sent job may go without being acknowledged before it is sent again, in milliseconds; grows with each sending';
comment on column supaqueue.setting.max_dispatches is 'How often a job is sent without an acknowledgement before it goes back to pending with the reason in its errors';
comment on column supaqueue.setting.run_lease_ms is 'How long a run of the supaqueue function may go without a pulse before its calls count as lost, in milliseconds';
comment on column supaqueue.setting.linger_ms is 'How long a run waits for more work of a queue after its last call, in milliseconds; 0: not at all';
comment on column supaqueue.setting.poll_ms is 'How soon a waiting run asks for work again, in milliseconds; the pause grows while there is none';
comment on column supaqueue.setting.max_retry_after_ms is 'The longest wait that a target function can ask for with retry-after, in milliseconds';
comment on column supaqueue.setting.max_errors is 'Failed attempts kept in the errors of a job: the last ones';
comment on column supaqueue.setting.retention_batch is 'Finished jobs deleted in one tick, at most';
comment on column supaqueue.setting.keep_minutes_for is 'How long the rows of minute and hour, from which charts are drawn, are kept';
