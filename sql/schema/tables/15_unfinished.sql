-- What could not be done when it was due. The tick does it again, with growing pauses, and deletes
-- the row when it has worked. Rows without a message are no failures: the tick only has to look.
create table supaqueue.unfinished (
  id bigint generated always as identity primary key,
  step text not null,
  queue uuid,
  job uuid,
  since timestamptz not null default clock_timestamp(),
  tried_at timestamptz not null default clock_timestamp(),
  tries integer not null default 1,
  retry_at timestamptz not null default clock_timestamp(),
  sqlstate text,
  message text,
  outcome jsonb
);
alter table supaqueue.unfinished enable row level security;
create index unfinished_job on supaqueue.unfinished (job) where job is not null;
create index unfinished_queue on supaqueue.unfinished (queue) where queue is not null;
create index unfinished_about on supaqueue.unfinished (coalesce(job, queue, '00000000-0000-0000-0000-000000000000'), step);
comment on table supaqueue.unfinished is 'What Supaqueue could not do yet and tries again; supaqueue.problem shows it with remedies';
comment on column supaqueue.unfinished.step is 'start, call, settle, on end, take back, admit, look after (all: of a queue, or of one job), schedule, operation, or a part of the tick';
comment on column supaqueue.unfinished.queue is 'The queue; of the steps schedule and operation, that';
comment on column supaqueue.unfinished.since is 'When it failed first';
comment on column supaqueue.unfinished.tries is 'How often it was tried';
comment on column supaqueue.unfinished.message is 'The error as Postgres reported it; null: nothing failed, it was left to the tick';
comment on column supaqueue.unfinished.outcome is 'Of a call whose job could not be settled: what was reported. Of the step on end: the job that could not be inserted';

-- The tick's sign of life: one row.
create table supaqueue.last_tick (
  is_only_row boolean primary key default true,
  started_at timestamptz,
  finished_at timestamptz,
  server_started_at timestamptz,
  checked_until uuid,
  is_check_urgent boolean not null default true,
  cleaned_until uuid,
  counted_until uuid,
  purged_until bigint,
  constraint there_is_only_one_row check (is_only_row)
) with (fillfactor = 10);
alter table supaqueue.last_tick enable row level security;
comment on table supaqueue.last_tick is 'When the tick last ran, and how far its checks have come';
comment on column supaqueue.last_tick.finished_at is 'When the last complete tick ended; before started_at: one is running, or was interrupted';
comment on column supaqueue.last_tick.checked_until is 'The last job whose place was checked';
comment on column supaqueue.last_tick.cleaned_until is 'The last queue whose finished jobs were deleted';
comment on column supaqueue.last_tick.counted_until is 'The last queue whose ended jobs were counted';
comment on column supaqueue.last_tick.purged_until is 'The last row of cron.job_run_details that was looked at';

-- Locked workers that were deleted, or moved to another queue, during their call.
create table supaqueue.deleted_worker (
  worker uuid not null,
  queue uuid not null,
  primary key (queue, worker)
);
alter table supaqueue.deleted_worker enable row level security;
comment on table supaqueue.deleted_worker is 'Workers that were deleted during a call, which a free worker takes over; kept by Supaqueue';
