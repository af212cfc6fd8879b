-- It has no foreign keys: their actions would lock its rows as soon as a worker
-- or a job is deleted, and a report would wait for the transaction that deletes,
-- or worse, each for the other. So a row may name what is gone: a call whose worker
-- was deleted (or moved to another queue) ends normally and nothing follows it,
-- unless a new worker adopts it; one whose job was deleted keeps its worker until
-- it ends.
create table supaqueue.current_job (
  id uuid primary key default supaqueue.new_id(),
  created_at timestamptz not null default clock_timestamp(),
  queue uuid not null,
  worker uuid not null,
  job uuid not null constraint job_has_one_current_job unique,
  is_complete boolean not null default false,
  is_successful boolean,
  dispatches integer not null default 1,
  request_id bigint,
  acknowledged_at timestamptz,
  lane uuid,
  previous uuid,
  lease_until timestamptz not null
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table supaqueue.current_job enable row level security;

-- Not unique, although a worker has one current job at most: start_jobs sees to that
-- by locking the worker, and a report replaces the row. A unique index would look at
-- every dead row of the worker each time, and while a transaction is left open
-- vacuum removes none: throughput halved after 35,000 jobs, and is level without.
create index current_job_worker on supaqueue.current_job (queue, worker);
create index current_job_previous on supaqueue.current_job (previous) where previous is not null;
create index current_job_lease on supaqueue.current_job (lease_until);
create index current_job_sent on supaqueue.current_job (queue, created_at) where acknowledged_at is null;

comment on table supaqueue.current_job is 'Joins a worker to the job that it processes; a row exists only while the call is under way';
comment on column supaqueue.current_job.worker is 'Its worker; one that was deleted under the call lets it end, and nothing follows it';
comment on column supaqueue.current_job.job is 'Its job; one that was deleted under the call keeps the worker taken until it ends';
comment on column supaqueue.current_job.dispatches is 'How often this attempt was sent to the supaqueue function';
comment on column supaqueue.current_job.request_id is 'The last pg_net request that carried it';
comment on column supaqueue.current_job.acknowledged_at is 'When a lane took it';
comment on column supaqueue.current_job.lane is 'The lane that took it: it alone may acknowledge it again';
comment on column supaqueue.current_job.previous is 'The current job whose report handed this one out, so that a repeated report gets the same answer';
comment on column supaqueue.current_job.lease_until is 'After this it is sent again (not acknowledged) or counts as a lost attempt (acknowledged)';
