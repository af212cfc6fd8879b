-- The columns that change during a call come last: an update writes to the log what lies between
-- the first and the last changed byte of a row, and that must not include the payload.
create table supaqueue.job (
  id uuid primary key default supaqueue.new_id(),
  created_at timestamptz not null default now(),
  queue uuid not null references supaqueue.queue on delete cascade,
  position bigint generated always as identity,
  priority integer not null default 0,
  max_attempts integer,
  timeout_ms integer,
  payload jsonb not null default '{}',
  headers jsonb,
  path text,
  tenant text collate "C",
  key text collate "C",
  key_held text,
  key_held_for interval,
  run_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  status text not null default 'pending',
  attempts integer not null default 0,
  unstarted integer not null default 0,
  http_status integer,
  started_at timestamptz,
  finished_at timestamptz,
  duration_ms integer,
  result jsonb,
  errors jsonb not null default '[]',
  ended_as text,
  error_group text,
  key_held_until timestamptz
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000, autovacuum_analyze_scale_factor = 0.05);
alter table supaqueue.job enable row level security;

-- No index depends on what changes when a job starts (ended_as does not), so that this is a
-- heap-only update: ready_job, held_job and current_job say where a living job is.
create index job_finished on supaqueue.job (queue, ended_as, finished_at, id) where finished_at is not null;
-- For jobs with a key.
create unique index a_key_is_held_by_one_job on supaqueue.job (queue, key) where key_held_until is not null;
create index job_key on supaqueue.job (queue, key, id) where key is not null;
create index job_key_held_until on supaqueue.job (key_held_until) where key_held_until < 'infinity';
-- For jobs with a tenant.
create index job_tenant on supaqueue.job (queue, tenant, id) where tenant is not null;
-- For failed jobs.
create index job_error_group on supaqueue.job (queue, error_group, finished_at, id) where error_group is not null;

comment on table supaqueue.job is 'A call of a queue''s edge function: inserting one is enough';
comment on column supaqueue.job.payload is 'The body of the call';
comment on column supaqueue.job.status is 'pending, waiting (held until somebody sets it to pending), in_progress, successful, failed, or cancelled';
comment on column supaqueue.job.attempts is 'Calls so far, including one in progress';
comment on column supaqueue.job.unstarted is 'How often a run was lost that held the job ready and had not begun its call; from 3 on it is not held ready any more';
comment on column supaqueue.job.priority is 'Lower goes first';
comment on column supaqueue.job.run_at is 'Not started before this time';
comment on column supaqueue.job.headers is 'Headers of this call, over the queue''s: an object of strings';
comment on column supaqueue.job.path is 'What follows the function''s name in the address of this call, instead of the queue''s: users/welcome?lang=de. Null: the queue''s; empty: nothing';
comment on column supaqueue.job.tenant is 'The customer or account that the job is for: a label to find jobs by';
comment on column supaqueue.job.max_attempts is 'Null: the queue''s';
comment on column supaqueue.job.timeout_ms is 'How long the call may take, in milliseconds; null: the queue''s';
comment on column supaqueue.job.started_at is 'When the last attempt started';
comment on column supaqueue.job.finished_at is 'When the job became successful, failed or cancelled';
comment on column supaqueue.job.duration_ms is 'How long the last call took, in milliseconds';
comment on column supaqueue.job.http_status is 'The HTTP status of the last call';
comment on column supaqueue.job.result is 'The answer of the successful call: JSON as JSON, text as a JSON string, cut at the size that the function is set to';
comment on column supaqueue.job.errors is 'One entry per failed attempt: attempt, at, status, message, body; the last ones (setting max_errors)';
comment on column supaqueue.job.position is 'The order of insertion, the last criterion of the order within a queue';
comment on column supaqueue.job.ended_as is 'The status of a job that has finished; else null';
comment on column supaqueue.job.key is 'What the job is about: at most one job of the queue holds a key at a time';
comment on column supaqueue.job.key_held is 'How long the job holds its key (see the column of queue); null: as the queue says when it is inserted';
comment on column supaqueue.job.key_held_for is 'With key_held successful, how long after its success; null: as long as it is kept';
comment on column supaqueue.job.key_held_until is 'Null: the job does not hold its key; infinity: until it starts or ends; kept by Supaqueue';
comment on column supaqueue.job.error_group is 'Of a failed job, its last HTTP status and error without what differs from job to job, such as ids and numbers; see the view failure';
