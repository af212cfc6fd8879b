-- The pending jobs that may run now, in the order in which they are started. A job's row is
-- inserted when it is admitted and deleted when it starts, always with the job locked.
create table supaqueue.ready_job (
  queue uuid not null,
  priority integer not null,
  run_at timestamptz not null,
  position bigint not null,
  job uuid not null,
  primary key (queue, priority, run_at, position)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
alter table supaqueue.ready_job enable row level security;
comment on table supaqueue.ready_job is 'The pending jobs that may run now, in their order; kept by Supaqueue';

-- The jobs that may not run yet: due later, waiting, or put aside because they could not be
-- started. The tick, and reports, move those whose time has come to ready_job.
create table supaqueue.held_job (
  job uuid primary key,
  queue uuid not null,
  until timestamptz not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
alter table supaqueue.held_job enable row level security;
create index held_job_until on supaqueue.held_job (until, queue);
create index held_job_queue on supaqueue.held_job (queue, until);
comment on table supaqueue.held_job is 'The pending jobs that are due later, and the waiting ones; kept by Supaqueue';
comment on column supaqueue.held_job.until is 'When the job may run; infinity for waiting ones';

-- No ready_job of the queue comes before this place: the search for the next job starts here.
--
-- Rows that were deleted stay in the index until vacuum may remove them. While a transaction is
-- open for minutes, it may not, and without this table each search would walk over all jobs that
-- were taken since. See move_front and lower_fronts, which keep it exact.
create table supaqueue.queue_front (
  queue uuid primary key,
  priority integer not null,
  run_at timestamptz not null,
  position bigint not null
) with (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
alter table supaqueue.queue_front enable row level security;
comment on table supaqueue.queue_front is 'Where the search for the next job of a queue starts; kept by Supaqueue';
