-- No foreign keys: they would lock rows of this table whenever a worker or a job is
-- deleted, and a report would have to wait for that transaction, or deadlock with it.
-- So a row may name a deleted worker (see deleted_worker) or a deleted job, whose
-- worker stays locked until the call ends.
create table supaqueue.current_job (
  id uuid primary key default supaqueue.new_id(),
  created_at timestamptz not null default clock_timestamp(),
  queue uuid not null,
  worker uuid not null,
  job uuid not null constraint job_has_one_current_job unique,
  is_complete boolean not null default false,
  is_successful boolean,
  state text not null default 'sent',
  dispatches integer not null default 1,
  request_id bigint,
  run uuid,
  claimed_in integer,
  previous uuid,
  held uuid,
  behind uuid,
  lease_until timestamptz,
  constraint a_call_is_sent_with_a_lease_or_has_a_run check (
    case
      when state = 'sent' then run is null and lease_until is not null
      when state in ('held', 'started') then run is not null and lease_until is null
      else false
    end
  )
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table supaqueue.current_job enable row level security;

-- As few indexes as possible: each call writes to all of them. There are no more than two
-- rows per worker, so the tick, and what is repeated, can read the whole table. Beginning a held call
-- changes no index.
create index current_job_sent on supaqueue.current_job (queue, created_at) where run is null;

comment on table supaqueue.current_job is 'Joins a worker to the job that it processes; a row exists only while the call is in progress';
comment on column supaqueue.current_job.worker is 'Its worker. If that was deleted, the call ends normally and is not followed by another';
comment on column supaqueue.current_job.job is 'Its job. If that was deleted, the worker stays locked until the call ends';
comment on column supaqueue.current_job.is_complete is 'Set it to true to settle the job by hand, with is_successful';
comment on column supaqueue.current_job.state is 'sent (no run has it yet), held (its run has it ready, behind another call of its worker), or started (its run calls the target)';
comment on column supaqueue.current_job.dispatches is 'How often this attempt was sent to the supaqueue function';
comment on column supaqueue.current_job.request_id is 'The last pg_net request that carried it';
comment on column supaqueue.current_job.run is 'The run that has it: no other may report it';
comment on column supaqueue.current_job.claimed_in is 'The number of the pulse that took it, so that a repeated pulse gets the same answer';
comment on column supaqueue.current_job.previous is 'The current job whose report handed this one out, so that a repeated report gets the same answer';
comment on column supaqueue.current_job.held is 'The call that its run holds ready behind it';
comment on column supaqueue.current_job.behind is 'The call of its worker behind which it was held ready';
comment on column supaqueue.current_job.lease_until is 'When this time has passed, a sent call is sent again; null: the lease is that of its run';
