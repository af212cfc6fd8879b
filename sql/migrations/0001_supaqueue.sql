-- Version 1 of supaqueue, assembled by `cargo xtask sql build`. It can be applied to any database, at any time: where this
-- version or a newer one is installed, it does nothing.

do $supaqueue$
declare
  installed integer;
begin

-- Whoever comes second finds the version of the first.
perform pg_advisory_xact_lock(hashtextextended('supaqueue.version', 0));
if to_regclass('supaqueue.version') is not null then
  select max(v.number) into installed from supaqueue.version v where v.part = 'supaqueue';
end if;
if installed >= 1 then
  raise notice 'version 1 of supaqueue: nothing to do, this database has version %', installed;
  return;
elsif coalesce(installed, 0) <> 0 then
  raise exception 'cannot apply version 1 of supaqueue: this database has %', coalesce('version ' || installed, 'none')
    using errcode = 'object_not_in_prerequisite_state',
      hint = 'Nothing was changed. Apply the versions before it first; `supaqueue install --write-migration` writes them.';
end if;
-- Before anything is changed: a busy project uses the tables all the time.
if to_regproc('supaqueue.take_tables') is not null then
  perform supaqueue.take_tables();
end if;

--- known objects

execute $migration$
select set_config('supaqueue.known_objects', coalesce(string_agg(object, ' '), ''), true) as known_objects
from (
  select 'schema' || n.oid from pg_catalog.pg_namespace n where n.nspname = 'supaqueue'
  union all
  select case c.relkind when 'S' then 'sequence' else 'table' end || c.oid
  from pg_catalog.pg_class c
  where c.relnamespace = to_regnamespace('supaqueue')
  union all
  select 'function' || p.oid
  from pg_catalog.pg_proc p
  where p.pronamespace in (to_regnamespace('supaqueue'), 'public'::regnamespace)
) as known (object);
$migration$;

--- schema/tables/01_schema.sql

execute $migration$
-- Everything Supaqueue keeps in a database lives in one schema, out of the
-- API's reach: only postgres and service_role may use it.

create schema supaqueue;
comment on schema supaqueue is 'Supaqueue: queues of calls to edge functions';

-- pgcrypto signs what is sent to the supaqueue function.
create schema if not exists extensions;
create extension if not exists pgcrypto with schema extensions;

-- The others that it needs, so that a database that only migrations have built has them, too. The view problem names
-- one that is missing.
do $$
declare
  missing record;
begin
  for missing in
    select e.name, e.sql
    from (values
      ('pg_net', 'create extension pg_net with schema extensions', to_regnamespace('net')),
      ('supabase_vault', 'create extension supabase_vault cascade', to_regnamespace('vault')),
      ('pg_cron', 'create extension pg_cron', to_regnamespace('cron'))
    ) as e (name, sql, schema)
    join pg_catalog.pg_available_extensions a on a.name = e.name and a.installed_version is null
    where e.schema is null
  loop
    begin
      execute missing.sql;
    exception
      when others then
        raise warning 'cannot create the extension %: %', missing.name, sqlerrm;
    end;
  end loop;
end
$$;
$migration$;

--- schema/tables/02_version.sql

execute $migration$
create table supaqueue.version (
  part text not null,
  number integer not null,
  name text not null,
  applied_at timestamptz not null default now(),
  finished_at timestamptz,
  primary key (part, number)
);
alter table supaqueue.version enable row level security;

comment on table supaqueue.version is 'The versions of Supaqueue and of its add-ons that were applied to this database; the highest number of a part is its version';
comment on column supaqueue.version.part is 'supaqueue, or the name of an add-on';
comment on column supaqueue.version.finished_at is 'When the work that an upgrade does after its transaction was done, such as building indexes concurrently; null: `supaqueue install` for this database still has to do it';
$migration$;

--- schema/03_new_id.sql

execute $migration$
-- A version 7 UUID (RFC 9562, section 5.7): 48 bits of milliseconds, then
-- random bits. Ids in order of time keep the primary keys' newest pages few,
-- so that the cost of a job does not grow with the table.
create or replace function supaqueue.new_id()
returns uuid
language plpgsql
volatile
parallel safe
set search_path = ''
as $$
begin
  return (
    lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
    || '7' || substr(gen_random_uuid()::text, 16)
  )::uuid;
end
$$;
$migration$;

--- schema/04_is_below_function.sql

execute $migration$
-- Whether the address of a function, a slash and this path are an address of that function still, for every server on
-- the way: a path with dot segments would lead elsewhere, with the project's key. Encoded dots and slashes count, since
-- a URL parser takes %2e for a dot (https://url.spec.whatwg.org/#double-dot-path-segment), and servers may decode %2f.
create or replace function supaqueue.is_below_function(path text)
returns boolean
language sql
immutable
strict
parallel safe
set search_path = ''
as $$
  select path !~* '^([^?]*(/|%2f))?(/|%2f|(\.|%2e){1,2}(/|%2f|\?|$))'
$$;
$migration$;

--- schema/04_is_headers.sql

execute $migration$
-- Whether a value is an object of strings with names that HTTP allows
-- (RFC 9110, section 5.6.2) and values that an HTTP client sends: one line of Latin-1.
create or replace function supaqueue.is_headers(value jsonb)
returns boolean
language sql
immutable
strict
parallel safe
set search_path = ''
as $$
  select jsonb_typeof(value) = 'object' and not exists (
    select
    from jsonb_each(case jsonb_typeof(value) when 'object' then value else '{}' end) as header
    where jsonb_typeof(header.value) <> 'string'
      or header.key !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]+$'
      or header.value #>> '{}' ~ '[^\t\u0020-\u007E\u00A0-\u00FF]'
  )
$$;
$migration$;

--- schema/tables/05_setting.sql

execute $migration$
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
$migration$;

--- schema/tables/10_queue.sql

execute $migration$
create table supaqueue.queue (
  id uuid primary key default supaqueue.new_id(),
  created_at timestamptz not null default now(),
  name text not null,
  edge_function_name text not null,
  path text,
  default_headers jsonb,
  max_attempts integer not null default 3,
  timeout_ms integer not null default 60000,
  backoff_base_ms integer not null default 1000,
  backoff_max_ms integer not null default 300000,
  auth text not null default 'service_role',
  final_statuses integer[] not null default '{}',
  is_paused boolean not null default false,
  keep_successful_for interval default '7 days',
  keep_failed_for interval,
  key_held text not null default 'unfinished',
  key_held_for interval,
  postpone_at_most interval,
  on_end uuid references supaqueue.queue on delete set null,
  on_end_of text not null default 'failed',
  constraint queue_name_is_unique unique (name),
  constraint name_is_not_empty check (name <> ''),
  constraint edge_function_name_is_not_a_url check (edge_function_name !~ '[:/?#]'),
  constraint edge_function_name_is_of_letters_digits_underscores_hyphens check (edge_function_name ~ '^[A-Za-z][A-Za-z0-9_-]*$'),
  constraint edge_function_is_not_supaqueue_itself check (
    -- The self-test of `supaqueue install` and `supaqueue doctor` is the one exception.
    edge_function_name <> 'supaqueue' or name like 'supaqueue\_self\_test\_%'
  ),
  constraint path_is_at_most_2000_characters check (length(path) <= 2000),
  constraint path_has_no_spaces_control_characters_backslashes_or_fragment check (path !~ '[\u0001-\u0020\u007F\\#]'),
  constraint path_has_no_leading_slash_and_no_empty_or_dot_segments check (supaqueue.is_below_function(path)),
  constraint default_headers_are_an_object_of_strings check (default_headers is null or supaqueue.is_headers(default_headers)),
  constraint default_headers_are_at_most_16_kb check (octet_length(default_headers::text) <= 16384),
  constraint max_attempts_is_between_1_and_1000000 check (max_attempts between 1 and 1000000),
  constraint timeout_is_positive check (timeout_ms >= 1),
  constraint timeout_is_at_most_150_seconds check (timeout_ms <= 150000),
  constraint backoff_base_is_not_negative check (backoff_base_ms >= 0),
  constraint backoff_max_is_at_least_backoff_base check (backoff_max_ms >= backoff_base_ms),
  constraint auth_is_service_role_anon_or_none check (auth in ('service_role', 'anon', 'none')),
  constraint final_statuses_are_failures check (
    array_position(final_statuses, null) is null
    and 300 <= all (final_statuses) and 599 >= all (final_statuses)
  ),
  constraint keep_successful_for_is_between_0_and_1000_years check (keep_successful_for between interval '0' and interval '1000 years'),
  constraint keep_failed_for_is_between_0_and_1000_years check (keep_failed_for between interval '0' and interval '1000 years'),
  constraint key_held_is_pending_unfinished_or_successful check (key_held in ('pending', 'unfinished', 'successful')),
  constraint key_held_for_is_for_successful_jobs check (key_held_for is null or key_held = 'successful'),
  constraint key_held_for_is_between_0_and_1000_years check (key_held_for between interval '0' and interval '1000 years'),
  constraint postpone_at_most_is_between_0_and_1000_years check (postpone_at_most between interval '0' and interval '1000 years'),
  constraint on_end_is_another_queue check (on_end <> id),
  constraint on_end_of_is_failed_or_all check (on_end_of in ('failed', 'all'))
);
alter table supaqueue.queue enable row level security;
create index queue_on_end on supaqueue.queue (on_end) where on_end is not null;

comment on table supaqueue.queue is 'A queue of calls to one edge function. Its workers bound how many of them run at once';
comment on column supaqueue.queue.name is 'Unique; where none is given, the name of the edge function, numbered if taken';
comment on column supaqueue.queue.edge_function_name is 'The function that is called: its name only, as in supabase/functions';
comment on column supaqueue.queue.path is 'What follows the function''s name in the address of each call, for functions with routes: users/welcome?lang=de';
comment on column supaqueue.queue.default_headers is 'Headers of each call: an object of strings. Do not put secrets here, pg_net''s tables can be read by every role';
comment on column supaqueue.queue.max_attempts is 'Calls of a job, the first one included, before it is failed';
comment on column supaqueue.queue.timeout_ms is 'How long a call may take, in milliseconds; at most 150 s, within which the platform wants the first byte of an answer';
comment on column supaqueue.queue.backoff_base_ms is 'Upper bound of the wait before the first retry, in milliseconds; it doubles with each attempt. The wait itself is random between 0 and the bound (full jitter)';
comment on column supaqueue.queue.backoff_max_ms is 'The most that the bound of the wait before a retry can grow to, in milliseconds';
comment on column supaqueue.queue.auth is 'The key that calls carry: service_role (bypasses row level security), anon, or none';
comment on column supaqueue.queue.final_statuses is 'HTTP statuses after which a job is failed at once, without a retry';
comment on column supaqueue.queue.is_paused is 'A paused queue starts no job; calls under way end normally';
comment on column supaqueue.queue.keep_successful_for is 'How long successful and cancelled jobs are kept after they finished; null: for ever';
comment on column supaqueue.queue.keep_failed_for is 'How long failed jobs are kept after they finished; null: for ever';
comment on column supaqueue.queue.key_held is 'How long a job holds its key: pending (until its first attempt starts), unfinished (until it has ended), or successful (also after its success). A failed or cancelled job frees it at once. Applies to jobs inserted later';
comment on column supaqueue.queue.key_held_for is 'With key_held successful, how long after its success a job holds its key; null: as long as the job is kept';
comment on column supaqueue.queue.postpone_at_most is 'How long after the first request enqueue can postpone a job (on_conflict => ''postpone''); null: for ever';
comment on column supaqueue.queue.on_end is 'Another queue that gets a job when a job of this one has ended, with the ended job as its payload: for alerts. Null: none does';
comment on column supaqueue.queue.on_end_of is 'Which ends on_end is for: failed, or all (also successful and cancelled)';
$migration$;

--- schema/tables/11_worker.sql

execute $migration$
create table supaqueue.worker (
  id uuid primary key default supaqueue.new_id(),
  created_at timestamptz not null default now(),
  queue uuid not null references supaqueue.queue on delete cascade,
  locked boolean not null default false
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table supaqueue.worker enable row level security;

-- `locked` is in no index, so that locking and unlocking stay cheap (heap-only updates).
create index worker_queue on supaqueue.worker (queue, id);

comment on table supaqueue.worker is 'The slots of a queue: as many calls of the queue run at once, at most, as it has workers';
comment on column supaqueue.worker.locked is 'Whether the worker processes a job now; kept by Supaqueue';
$migration$;

--- schema/tables/12_job.sql

execute $migration$
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
$migration$;

--- schema/tables/13_current_job.sql

execute $migration$
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
$migration$;

--- schema/tables/13_run.sql

execute $migration$
-- A run holds its calls as long as its pulse renews its lease: reports do not touch its row. Once
-- a run is over, it stays so, and the tick takes back its calls.
create table supaqueue.run (
  id uuid primary key,
  created_at timestamptz not null default clock_timestamp(),
  number integer not null,
  lease_until timestamptz not null,
  is_over boolean not null default false
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table supaqueue.run enable row level security;

-- Only the primary key: each pulse updates a row, and that must be a heap-only update.
comment on table supaqueue.run is 'The runs of the supaqueue function: what one isolate does with the dispatches that it gets';
comment on column supaqueue.run.number is 'The number of its last pulse';
comment on column supaqueue.run.lease_until is 'When this time has passed without a pulse, the run is over, and its calls are lost';
comment on column supaqueue.run.is_over is 'Whether its calls were given up; all further requests of the run are refused';
$migration$;

--- schema/tables/14_ready_job.sql

execute $migration$
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
$migration$;

--- schema/tables/15_unfinished.sql

execute $migration$
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
$migration$;

--- schema/16_name_queue.sql

execute $migration$
-- Gives a queue without a name that of its function, numbered if taken.
create or replace function supaqueue.before_insert_queue_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  number integer := 1;
begin
  -- Two queues named at the same moment would take the same number.
  perform pg_advisory_xact_lock(hashtextextended('supaqueue.queue.name', 0));
  new.name := new.edge_function_name;
  while exists (select from supaqueue.queue q where q.name = new.name) loop
    number := number + 1;
    new.name := new.edge_function_name || '_' || number;
  end loop;
  return new;
end
$$;

create or replace trigger before_insert_queue_tg
before insert on supaqueue.queue
for each row when (new.name is null)
execute function supaqueue.before_insert_queue_tg_fn();
$migration$;

--- schema/tables/16_schedule.sql

execute $migration$
-- Rules that insert jobs at times. next_at is kept by before_write_schedule_tg and moves in the
-- transaction that inserts the job: see run_due.
create table supaqueue.schedule (
  id uuid primary key default supaqueue.new_id(),
  created_at timestamptz not null default now(),
  name text not null,
  queue uuid not null references supaqueue.queue on delete cascade,
  cron text,
  every interval,
  timezone text not null default 'UTC',
  payload jsonb not null default '{}',
  headers jsonb,
  priority integer not null default 0,
  path text,
  timeout_ms integer,
  max_attempts integer,
  tenant text,
  key text,
  is_paused boolean not null default false,
  missed text not null default 'last',
  catch_up_within interval default '1 day',
  overlap text not null,
  spread interval not null default '0',
  pause_after_failures integer,
  parsed bigint[],
  next_at timestamptz,
  last_at timestamptz,
  last_job uuid,
  recent_jobs uuid[] not null default '{}',
  missed_count bigint not null default 0,
  skipped_count bigint not null default 0,
  paused_because text,
  constraint schedule_name_is_unique unique (name),
  constraint name_is_not_empty check (name <> ''),
  constraint name_is_at_most_200_bytes check (octet_length(name) <= 200),
  constraint payload_is_not_json_null check (payload <> 'null'),
  constraint payload_is_at_most_5_mb check (octet_length(payload::text) <= 5000000),
  constraint headers_are_an_object_of_strings check (supaqueue.is_headers(headers)),
  constraint headers_are_at_most_15_kb check (octet_length(headers::text) <= 15360),
  constraint path_is_at_most_2000_characters check (length(path) <= 2000),
  constraint path_has_no_spaces_control_characters_backslashes_or_fragment check (path !~ '[\u0001-\u0020\u007F\\#]'),
  constraint path_has_no_leading_slash_and_no_empty_or_dot_segments check (supaqueue.is_below_function(path)),
  constraint timeout_is_between_1_ms_and_150_seconds check (timeout_ms between 1 and 150000),
  constraint max_attempts_is_between_1_and_1000000 check (max_attempts between 1 and 1000000),
  constraint tenant_is_of_1_to_2000_bytes check (octet_length(tenant) between 1 and 2000),
  constraint key_is_of_1_to_2000_bytes check (octet_length(key) between 1 and 2000),
  constraint missed_is_last_all_or_none check (missed in ('last', 'all', 'none')),
  constraint catch_up_within_is_between_0_and_1000_years check (catch_up_within between interval '0' and interval '1000 years'),
  constraint overlap_is_skip_allow_or_replace check (overlap in ('skip', 'allow', 'replace')),
  constraint spread_is_between_0_and_1_day check (spread between interval '0' and interval '1 day'),
  constraint pause_after_failures_is_between_1_and_50 check (pause_after_failures between 1 and 50)
) with (fillfactor = 50);
alter table supaqueue.schedule enable row level security;
create index schedule_next_at on supaqueue.schedule (next_at) where next_at is not null;
create index schedule_queue on supaqueue.schedule (queue, next_at);

comment on table supaqueue.schedule is 'Rules that insert jobs at times, by cron or every so often: see supaqueue.schedule(), and supaqueue.next_times() before';
comment on column supaqueue.schedule.cron is 'Minute, hour, day of the month, month, day of the week: 0 3 * * mon-fri; or @hourly, @daily, @weekly, @monthly, @yearly';
comment on column supaqueue.schedule.every is 'Instead of cron: the time from one job to the next, at least a second, counted from 1970-01-01 00:00 UTC';
comment on column supaqueue.schedule.timezone is 'In which cron is read: a name of pg_timezone_names';
comment on column supaqueue.schedule.path is 'Of its jobs, as are payload, headers, priority, timeout_ms, max_attempts and tenant';
comment on column supaqueue.schedule.key is 'The key that each of its jobs holds until it has ended; null: schedule: and its name. With overlap allow they have no key';
comment on column supaqueue.schedule.is_paused is 'Inserts nothing, and what would have been due meanwhile does not count as missed';
comment on column supaqueue.schedule.missed is 'What is done after an outage: last (the last time that was missed), all (the last 100), or none';
comment on column supaqueue.schedule.catch_up_within is 'Times that were missed longer ago are not caught up; null: any are';
comment on column supaqueue.schedule.overlap is 'When the previous job has not ended: skip, allow, or replace (it, if it has not started). Without one: allow where missed is all, else skip';
comment on column supaqueue.schedule.spread is 'Its jobs come later by a time up to this, always the same one: so that many schedules of the same minute do not start together';
comment on column supaqueue.schedule.pause_after_failures is 'Paused when so many of its jobs failed in a row; null: never';
comment on column supaqueue.schedule.parsed is 'What cron says, as bits; kept by Supaqueue, like the columns after it';
comment on column supaqueue.schedule.next_at is 'When the next job is inserted; null: paused';
comment on column supaqueue.schedule.last_at is 'The time for which it inserted its last job';
comment on column supaqueue.schedule.last_job is 'The last job that it inserted';
comment on column supaqueue.schedule.recent_jobs is 'The last 50 jobs that it inserted, the newest first';
comment on column supaqueue.schedule.missed_count is 'How many times passed without a job because of an outage';
comment on column supaqueue.schedule.skipped_count is 'How many times passed without a job because a previous one had not ended';
comment on column supaqueue.schedule.paused_because is 'Why Supaqueue paused it; null: it did not';
$migration$;

--- schema/17_check_job.sql

execute $migration$
-- Refuses to store a job, under the name of the rule that it breaks.
--
-- These rules are not check constraints: every update of a job would parse and evaluate
-- all of them, and each job is updated at least twice. As constraints they took a sixth
-- of the time of a report, and far more for a large payload.
create or replace function supaqueue.refuse_job(rule text, problem text)
returns void
language plpgsql
set search_path = ''
as $$
begin
  raise exception 'cannot store the job: %', problem
    using errcode = 'check_violation', constraint = rule, schema = 'supaqueue', table = 'job';
end
$$;

-- The first rule that what only users set breaks; null: none. before_write_job_tg_fn checks the rest, and
-- hold_key the keys.
create or replace function supaqueue.broken_rule(
  payload jsonb, max_attempts integer, timeout_ms integer, headers jsonb, path text, tenant text, out rule text, out problem text
)
language plpgsql
immutable
set search_path = ''
as $$
begin
  if payload = 'null' then
    rule := 'payload_is_not_json_null';
    problem := 'its payload is JSON null; leave it out, or use {}';
  elsif octet_length(payload::text) > 5000000 then
    rule := 'payload_is_at_most_5_mb';
    problem := 'its payload is larger than 5 MB; store it elsewhere, and send where it is';
  elsif max_attempts not between 1 and 1000000 then
    rule := 'max_attempts_is_between_1_and_1000000';
    problem := 'its max_attempts is not between 1 and 1000000';
  elsif timeout_ms < 1 then
    rule := 'timeout_is_positive';
    problem := 'its timeout_ms is less than 1';
  elsif timeout_ms > 150000 then
    rule := 'timeout_is_at_most_150_seconds';
    problem := 'its timeout_ms is more than 150000: the platform ends requests that have no answer after 150 s';
  elsif not supaqueue.is_headers(headers) then
    rule := 'headers_are_an_object_of_strings';
    problem := 'its headers are not an object of strings with names and values that HTTP allows';
  elsif octet_length(headers::text) > 16384 then
    rule := 'headers_are_at_most_16_kb';
    problem := 'its headers are larger than 16 kB; put the data into the payload';
  elsif length(path) > 2000 then
    rule := 'path_is_at_most_2000_characters';
    problem := 'its path is longer than 2000 characters; put the data into the payload';
  elsif path ~ '[\u0001-\u0020\u007F\\#]' then
    rule := 'path_has_no_spaces_control_characters_backslashes_or_fragment';
    problem := 'its path has a space, a control character, a backslash or a #; percent-encode it';
  elsif not supaqueue.is_below_function(path) then
    rule := 'path_has_no_leading_slash_and_no_empty_or_dot_segments';
    problem := 'its path has a leading slash, or an empty segment, or the segment . or ..; write it like users/welcome?lang=de';
  elsif octet_length(tenant) not between 1 and 2000 then
    rule := 'tenant_is_of_1_to_2000_bytes';
    problem := 'its tenant is empty, or longer than 2000 bytes; use an id, or leave it out';
  end if;
end
$$;

create or replace function supaqueue.check_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  broken record := supaqueue.broken_rule(new.payload, new.max_attempts, new.timeout_ms, new.headers, new.path, new.tenant);
begin
  if broken.rule is not null then
    perform supaqueue.refuse_job(broken.rule, broken.problem);
  end if;
  return new;
end
$$;

create or replace trigger check_job_tg
before insert or update of payload, max_attempts, timeout_ms, headers, path, tenant on supaqueue.job
for each row
execute function supaqueue.check_job_tg_fn();
$migration$;

--- schema/tables/17_minute.sql

execute $migration$
-- What ended in each minute of each queue, counted by the tick: see count_ended_jobs. Charts are drawn
-- from it. No foreign key: counting would wait for a transaction that deletes a queue.
create table supaqueue.minute (
  queue uuid not null,
  at timestamptz not null,
  started integer not null,
  succeeded integer not null,
  failed integer not null,
  cancelled integer not null,
  retried integer not null,
  wait integer[] not null,
  run integer[] not null,
  primary key (queue, at)
) with (fillfactor = 80);
alter table supaqueue.minute enable row level security;
create index minute_at on supaqueue.minute (at);

comment on table supaqueue.minute is 'What ended in each minute, per queue and (with the queue 00000000-0000-0000-0000-000000000000) in all queues; written by the tick, read with supaqueue.chart()';
comment on column supaqueue.minute.at is 'The beginning of the minute. All that a job did counts to the minute in which it ended';
comment on column supaqueue.minute.started is 'The attempts of the jobs that ended';
comment on column supaqueue.minute.retried is 'Of those, the attempts after the first one of each job';
comment on column supaqueue.minute.wait is 'A histogram of the time from when the last attempt was due to its start: the numbers of jobs up to each of supaqueue.histogram_bounds(), and above';
comment on column supaqueue.minute.run is 'A histogram of the duration of the last attempt';

-- The same per hour, so that a chart of a month does not read 43,200 rows.
create table supaqueue.hour (like supaqueue.minute including all) with (fillfactor = 80);
alter table supaqueue.hour enable row level security;

comment on table supaqueue.hour is 'What ended in each hour, as in supaqueue.minute';
comment on column supaqueue.hour.at is 'The beginning of the hour';

-- How far each queue is counted, and its totals since it was created, for metrics().
create table supaqueue.counted (
  queue uuid primary key,
  until timestamptz not null,
  started bigint not null default 0,
  succeeded bigint not null default 0,
  failed bigint not null default 0,
  cancelled bigint not null default 0,
  retried bigint not null default 0,
  wait bigint[] not null default '{}',
  run bigint[] not null default '{}',
  wait_ms bigint not null default 0,
  run_ms bigint not null default 0
) with (fillfactor = 50);
alter table supaqueue.counted enable row level security;

comment on table supaqueue.counted is 'How far the ended jobs of each queue are counted, and their totals; kept by Supaqueue';
comment on column supaqueue.counted.until is 'All jobs that ended up to this time are counted';
comment on column supaqueue.counted.wait_ms is 'The sum of what wait counts, in milliseconds; run_ms that of run';
$migration$;

--- schema/tables/17_operation.sql

execute $migration$
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
$migration$;

--- schema/17_with_traceparent.sql

execute $migration$
-- The headers of a job with the traceparent of the API request that inserts it (PostgREST's setting
-- request.headers), so that its call goes on with that trace. Headers that name one, or have no room for it,
-- stay as they are, and a malformed one (W3C Trace Context, section 3.2.2) is ignored. Never fails: it does not
-- read the setting as JSON, which may be anything.
create or replace function supaqueue.with_traceparent(headers jsonb, request_headers text)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
declare
  traceparent text := substring(request_headers from
    '"traceparent"\s*:\s*"\s*((?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2})\s*"');
begin
  if traceparent is null or headers::text ~* '"traceparent":' or jsonb_typeof(headers) <> 'object'
    or octet_length(headers::text) > 16000
  then
    return headers;
  end if;
  return coalesce(headers, '{}') || jsonb_build_object('traceparent', traceparent);
end
$$;
$migration$;

--- schema/18_before_write_job.sql

execute $migration$
-- Checks a job that is inserted or updated, and sets what follows from its status.
--
-- A finished job that becomes pending or waiting again gets all its attempts back, and
-- is due from then on. A job whose call is in progress can be cancelled, but not be set
-- to pending: such a row is left as it is, with a warning, so that a statement over many
-- jobs does what it can. So is a job whose key another one holds by now. See hold_key.
create or replace function supaqueue.before_write_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if new.status not in ('pending', 'waiting', 'in_progress', 'successful', 'failed', 'cancelled') then
    perform supaqueue.refuse_job('status_is_known', format(
      'its status is %s, not pending, waiting, in_progress, successful, failed or cancelled', new.status));
  elsif new.attempts not between 0 and 1000000 then
    perform supaqueue.refuse_job('attempts_are_between_0_and_1000000', 'its attempts are not between 0 and 1000000');
  elsif jsonb_typeof(new.errors) <> 'array' then
    perform supaqueue.refuse_job('errors_are_a_list', 'its errors are not a list');
  end if;
  if tg_op = 'INSERT' then
    if new.status = 'in_progress' then
      -- A job from elsewhere has no call here.
      new.status := 'pending';
    elsif new.status in ('successful', 'failed', 'cancelled') then
      new.finished_at := coalesce(new.finished_at, clock_timestamp());
      new.ended_as := new.status;
      if new.status = 'failed' then
        new.error_group := supaqueue.error_group_of(new.errors);
      end if;
    end if;
    if current_setting('request.headers', true) like '%"traceparent"%' then
      new.headers := supaqueue.with_traceparent(new.headers, current_setting('request.headers', true));
    end if;
    if new.key is not null or new.key_held_until is not null then
      return supaqueue.hold_key(new);
    end if;
    return new;
  end if;
  new.updated_at := clock_timestamp();
  if new.key is distinct from old.key then
    new := supaqueue.hold_key(new);
  end if;
  if new.status = old.status then
    return new;
  end if;
  if new.status in ('pending', 'waiting') then
    if supaqueue.has_call(new.id) then
      raise warning 'did not set job % to %: its call has not ended yet', new.id, new.status
        using hint = 'Set it to cancelled, or try again when supaqueue.current_job has no row for it.';
      return null;
    end if;
    if old.status in ('successful', 'failed', 'cancelled') then
      if new.key_held_until is not null then
        new.key_held_until := 'infinity';
      elsif new.key is not null and supaqueue.is_key_held(new) then
        return null;
      end if;
      new.attempts := 0;
      new.finished_at := null;
      new.ended_as := null;
      new.error_group := null;
    end if;
    if old.status <> 'in_progress' and new.status = 'pending' then
      new.run_at := greatest(new.run_at, clock_timestamp());
    end if;
    if new.key_held = 'pending' and old.status = 'in_progress' then
      new := supaqueue.give_way(new);
    end if;
  elsif new.status <> 'in_progress' then
    new.finished_at := coalesce(new.finished_at, clock_timestamp());
    new.ended_as := new.status;
    if new.key_held_until is not null then
      new.key_held_until := supaqueue.key_held_until(new);
    end if;
  elsif new.key_held = 'pending' then
    new.key_held_until := null;
  end if;
  if new.ended_as is not null and old.ended_as is null then
    if new.status = 'failed' then
      new.error_group := supaqueue.error_group_of(new.errors);
    end if;
    perform supaqueue.note_end(new.id, new.queue, new.status);
  end if;
  return new;
end
$$;

create or replace function supaqueue.has_call(_job uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (select from supaqueue.current_job c where c.job = _job);
end
$$;

create or replace trigger before_insert_job_tg
before insert on supaqueue.job
for each row
execute function supaqueue.before_write_job_tg_fn();

create or replace trigger before_update_job_tg
before update on supaqueue.job
for each row
execute function supaqueue.before_write_job_tg_fn();
$migration$;

--- schema/19_hold_key.sql

execute $migration$
-- At most one job of a queue holds a key: the index a_key_is_held_by_one_job is the judge. A job gets
-- its key when it is inserted, or when it is set back to pending after its end, and keeps or frees
-- it with each change of its status. So nothing that Supaqueue does by itself can violate the index.

-- Until when a job with a key holds it as things are.
create or replace function supaqueue.key_held_until(job supaqueue.job)
returns timestamptz
language plpgsql
set search_path = ''
as $$
declare
  until timestamptz := case
    when job.status = 'successful' and job.key_held = 'successful' then coalesce(job.finished_at + job.key_held_for, 'infinity')
    when job.status in ('successful', 'failed', 'cancelled') then null
    when job.key_held = 'pending' and job.attempts > 0 then null
    else 'infinity'
  end;
begin
  return case when until > clock_timestamp() then until end;
end
$$;

-- Prepares a job that is inserted with a key, or gets another one. A hold that is over is
-- released: the tick may not have come to it.
create or replace function supaqueue.hold_key(job supaqueue.job)
returns supaqueue.job
language plpgsql
set search_path = ''
as $$
declare
  known record;
begin
  if job.key is null then
    job.key_held_until := null;
    return job;
  end if;
  known := supaqueue.key_state(job.queue, job.key);
  if octet_length(job.key) not between 1 and 2000 then
    perform supaqueue.refuse_job('key_is_of_1_to_2000_bytes',
      'its key is empty, or longer than 2000 bytes; use an id, or a hash of what is longer');
  elsif job.key_held is null then
    job.key_held := known.key_held;
    job.key_held_for := coalesce(job.key_held_for, known.key_held_for);
  elsif job.key_held not in ('pending', 'unfinished', 'successful') then
    perform supaqueue.refuse_job('key_held_is_pending_unfinished_or_successful',
      format('its key_held is %s, not pending, unfinished or successful', job.key_held));
  end if;
  if job.key_held_for is not null and job.key_held <> 'successful' then
    perform supaqueue.refuse_job('key_held_for_is_for_successful_jobs', 'its key_held_for needs the key_held successful');
  elsif job.key_held_for not between interval '0' and interval '1000 years' then
    perform supaqueue.refuse_job('key_held_for_is_between_0_and_1000_years', 'its key_held_for is not between 0 and 1000 years');
  end if;
  job.key_held_until := supaqueue.key_held_until(job);
  if known.until <= clock_timestamp() then
    perform supaqueue.try_release_key(known.holder);
  end if;
  return job;
end
$$;

-- How long the jobs of a queue hold their keys, and which job holds this one, until when.
create or replace function supaqueue.key_state(
  _queue uuid, _key text, out key_held text, out key_held_for interval, out holder uuid, out until timestamptz
)
language plpgsql
set search_path = ''
as $$
begin
  select q.key_held, q.key_held_for, h.id, h.key_held_until into key_held, key_held_for, holder, until
  from supaqueue.queue q
  left join supaqueue.job h on h.queue = _queue and h.key = _key and h.key_held_until is not null
  where q.id = _queue;
end
$$;

-- The job that holds a key, and until when: that may be over.
create or replace function supaqueue.holder_of(_queue uuid, _key text, out job uuid, out until timestamptz)
language plpgsql
set search_path = ''
as $$
begin
  select j.id, j.key_held_until into job, until
  from supaqueue.job j
  where j.queue = _queue and j.key = _key and j.key_held_until is not null;
end
$$;

-- Ends a hold that is over. Returns false if somebody is changing the job just now.
create or replace function supaqueue.release_key(_job uuid)
returns boolean
language plpgsql
set search_path = public, extensions
as $$
declare
  place refcursor := supaqueue.lock_expired_holder(_job);
begin
  if place is null then
    return false;
  end if;
  update supaqueue.job j set key_held_until = null where current of place;
  close place;
  return true;
end
$$;

create or replace function supaqueue.lock_expired_holder(_job uuid)
returns refcursor
language plpgsql
set search_path = ''
as $$
declare
  place refcursor;
begin
  open place for
    select from supaqueue.job j where j.id = _job and j.key_held_until <= clock_timestamp() for no key update skip locked;
  move next from place;
  return case when found then place end;
end
$$;

-- The same within a user's insert, which must not fail for it.
create or replace function supaqueue.try_release_key(_job uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform supaqueue.release_key(_job);
exception
  when others then
    null;
end
$$;

-- Whether another job holds the key of one that is set back to pending after its end. Warns then.
create or replace function supaqueue.is_key_held(job supaqueue.job)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  holder record := supaqueue.holder_of(job.queue, job.key);
begin
  if holder.until <= clock_timestamp() then
    perform supaqueue.try_release_key(holder.job);
  elsif holder.job is not null then
    perform supaqueue.warn_of_holder(job, holder.job);
    return true;
  end if;
  return false;
end
$$;

create or replace function supaqueue.warn_of_holder(job supaqueue.job, holder uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  raise warning 'did not set job % to %: its key % is held by %', job.id, job.status, quote_literal(job.key),
      coalesce('job ' || holder, 'a job that another transaction inserts just now')
    using hint = 'Try again when that job has ended, or cancel it.';
end
$$;

-- Takes the key for a job that was set back to pending after its end. If another transaction has
-- taken it since is_key_held looked, or the same statement has, the job is left as it was before.
create or replace function supaqueue.take_key_again(job supaqueue.job, before supaqueue.job)
returns void
language plpgsql
set search_path = public, extensions
as $$
declare
  place refcursor := (supaqueue.lock_job(job.id)).place;
  violated text;
begin
  begin
    update supaqueue.job j set key_held_until = 'infinity' where current of place;
  exception
    when unique_violation then
      get stacked diagnostics violated = constraint_name;
      if violated <> 'a_key_is_held_by_one_job' then
        raise;
      end if;
      perform set_config('supaqueue.is_restored', 'on', true);
      update supaqueue.job j
      set status = before.status, attempts = before.attempts, run_at = before.run_at, finished_at = before.finished_at
      where current of place;
      perform set_config('supaqueue.is_restored', '', true);
      perform supaqueue.warn_of_holder(job, (supaqueue.holder_of(job.queue, job.key)).job);
  end;
  close place;
end
$$;

create or replace function supaqueue.take_key_again_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform supaqueue.take_key_again(new, old);
  return null;
end
$$;

-- After place_job_tg: triggers fire in the order of their names.
create or replace trigger take_key_again_tg
after update on supaqueue.job
for each row when (new.key is not null and new.key_held_until is null and old.ended_as is not null and new.ended_as is null)
execute function supaqueue.take_key_again_tg_fn();

-- Cancels a job that goes back to pending, and freed its key when it started, if another one holds
-- the key now. If not, it stays pending without its key.
create or replace function supaqueue.give_way(job supaqueue.job)
returns supaqueue.job
language plpgsql
set search_path = ''
as $$
declare
  holder record := supaqueue.holder_of(job.queue, job.key);
begin
  if holder.until > clock_timestamp() and holder.job <> job.id then
    job.status := 'cancelled';
    job.finished_at := clock_timestamp();
    job.ended_as := 'cancelled';
    job.errors := supaqueue.add_error(job.errors, job.attempts, format(
      'superseded by job %s, which holds the key %L now', holder.job, job.key));
  end if;
  return job;
end
$$;
$migration$;

--- schema/20_ms.sql

execute $migration$
-- Milliseconds as an interval.
create or replace function supaqueue.ms(milliseconds double precision)
returns interval
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
begin
  return milliseconds * interval '1 millisecond';
end
$$;
$migration$;

--- schema/21_add_error.sql

execute $migration$
-- The errors of a job with one more, without the oldest ones beyond the setting max_errors.
create or replace function supaqueue.add_error(
  errors jsonb, attempt integer, message text, status integer default null, body jsonb default null
)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  entries jsonb := errors || jsonb_strip_nulls(jsonb_build_object(
    'attempt', attempt, 'at', clock_timestamp(), 'status', status, 'message', message, 'body', body));
begin
  for i in 1 .. jsonb_array_length(entries) - (supaqueue.settings()).max_errors loop
    entries := entries - 0;
  end loop;
  return entries;
end
$$;
$migration$;

--- schema/21_error_group.sql

execute $migration$
-- What an error has in common with others of the same cause: the HTTP status, and the message without ids,
-- numbers and quoted text. At most 200 characters, whatever the message is.
create or replace function supaqueue.error_group(http_status integer, message text)
returns text
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
declare
  kind text := left(message, 1000);
begin
  -- Spaces, control characters, and those that change the direction of text.
  kind := regexp_replace(kind, '[\u0001-\u0020\u007f-\u00a0\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+', ' ', 'g');
  -- The query of a URL; quoted text, but not an apostrophe; e-mail addresses; words with a digit (numbers, uuids,
  -- hexadecimal ids, times) and very long ones.
  kind := regexp_replace(kind, '(://[^ "''<>`?#]*)[?#][^ "''<>`]*', '\1?…', 'g');
  kind := regexp_replace(kind, '"[^"]*"|`[^`]*`|[“„][^”“]*[”“]|«[^»]*»|(?<!\w)''[^'']*''(?!\w)', '…', 'g');
  kind := regexp_replace(kind, '[\w.%+-]+@[\w-]+(\.[\w-]+)*', '…', 'g');
  kind := regexp_replace(kind, '\w*\d\w*|\w{33,}', '…', 'g');
  kind := regexp_replace(kind, '…([-.,:/+]*…)+', '…', 'g');
  return left(concat_ws(' ', http_status, coalesce(nullif(trim(kind), ''), 'no message')), 200);
end
$$;
comment on function supaqueue.error_group is 'An error without what differs from job to job: 500 cannot read property … of user …';

-- The group of the last of a job's errors.
create or replace function supaqueue.error_group_of(errors jsonb)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  return supaqueue.error_group(
    jsonb_path_query_first(errors -> -1, '$.status ? (@ >= 0 && @ <= 2147483647)')::integer, errors -> -1 ->> 'message');
end
$$;
$migration$;

--- schema/22_command.sql

execute $migration$
-- How to run a command of the program for this database. Without an option it would mean the linked project, which is
-- production as a rule; and the database does not know its own: a copy has the Vault of the original.
create or replace function supaqueue.command(name text)
returns text
language sql
immutable
set search_path = ''
as $$
  select format('`supaqueue %s --project-ref <ref>` with the ref of this very project or preview branch (for a local stack --local, for any other Postgres --db-url)', name)
$$;
$migration$;

--- schema/22_cron.sql

execute $migration$
-- Cron expressions, as Vixie cron reads them. Parsed, they are an array of bits: minutes, hours, days
-- of the month (bit 0: the last one), months, days of the week (bit 0: Sunday); then 1 if a day matches when either of its
-- two fields does, and 1 if the expression goes by elapsed time when clocks change (see next_time).

create or replace function supaqueue.refuse_cron(expression text, problem text, remedy text default null)
returns void
language plpgsql
set search_path = ''
as $$
begin
  raise exception 'cannot read the cron expression %: %', coalesce(quote_literal(expression), 'null'), problem
    using errcode = 'invalid_parameter_value', hint = coalesce(remedy || ' ', '')
      || 'Fields: minute hour day-of-month month day-of-week. ''30 3 * * mon-fri'' is 3:30 from Monday to Friday; see select supaqueue.next_times(''30 3 * * mon-fri'', ''Europe/Berlin'');';
end
$$;

-- Both day fields restrict the day: one of them is enough. A field that begins with * (also */2) does
-- not restrict in this sense, and then both must match.
create or replace function supaqueue.parse_cron(expression text)
returns bigint[]
language plpgsql
immutable
set search_path = ''
as $$
declare
  text_of text := lower(regexp_replace(expression, '^\s+|\s+$', '', 'g'));
  fields text[] := regexp_split_to_array(case text_of
    when '@hourly' then '0 * * * *'
    when '@daily' then '0 0 * * *'
    when '@midnight' then '0 0 * * *'
    when '@weekly' then '0 0 * * 0'
    when '@monthly' then '0 0 1 * *'
    when '@yearly' then '0 0 1 1 *'
    when '@annually' then '0 0 1 1 *'
    else text_of
  end, '\s+');
  parsed bigint[];
begin
  if text_of ~ '^@' and cardinality(fields) <> 5 then
    perform supaqueue.refuse_cron(expression, format('%s is not known', text_of),
      'Known are @hourly, @daily, @midnight, @weekly, @monthly, @yearly and @annually; for every so many minutes or seconds, use every, such as every => ''10 minutes''.');
  elsif cardinality(fields) is distinct from 5 or text_of = '' then
    perform supaqueue.refuse_cron(expression, format('it has %s fields, not 5', case when text_of = '' then 0 else cardinality(fields) end),
      case when cardinality(fields) = 6 then 'Seconds have no field: use every, such as every => ''10 seconds''.' end);
  end if;
  parsed := array[
    supaqueue.parse_cron_field(expression, fields[1], 'minute', 0, 59, '{}'),
    supaqueue.parse_cron_field(expression, fields[2], 'hour', 0, 23, '{}'),
    supaqueue.parse_cron_field(expression, fields[3], 'day of the month', 1, 31, '{}'),
    supaqueue.parse_cron_field(expression, fields[4], 'month', 1, 12, '{jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec}'),
    supaqueue.parse_cron_field(expression, fields[5], 'day of the week', 0, 7, '{sun,mon,tue,wed,thu,fri,sat}'),
    (fields[3] !~ '^\*' and fields[5] !~ '^\*')::integer,
    (fields[1] ~ '^\*' or fields[2] ~ '^\*')::integer
  ];
  -- 7 is Sunday, too.
  parsed[5] := (parsed[5] | (parsed[5] >> 7)) & 127;
  return parsed;
end
$$;

create or replace function supaqueue.parse_cron_field(
  expression text, field text, field_name text, low integer, high integer, names text[]
)
returns bigint
language plpgsql
immutable
set search_path = ''
as $$
declare
  bits bigint := 0;
  item text;
  part text[];
  first integer;
  last integer;
  step integer;
  problem text;
  remedy text;
begin
  foreach item in array string_to_array(field, ',') loop
    if item in ('l', '$') and field_name = 'day of the month' then
      bits := bits | 1;
      continue;
    end if;
    part := regexp_match(item, '^(\*|([0-9a-z]{1,9})(-([0-9a-z]{1,9}))?)(/([0-9]{1,4}))?$');
    first := case when part[1] = '*' then low else supaqueue.cron_number(part[2], low, names) end;
    last := case when part[1] = '*' then high when part[4] is null then first else supaqueue.cron_number(part[4], low, names) end;
    step := coalesce(part[6]::integer, 1);
    if high = 7 and last = 0 and first > 0 then
      last := 7;
    end if;
    if first is null or last is null then
      problem := format('has %s, which is not a number%s, a range (%s), * or a step (*/%s)', quote_literal(item),
        case when names <> '{}' then format(' or a name (%s)', names[2]) end,
        case when names <> '{}' then names[2] || '-' || names[4] else '5-10' end, least(high, 15) / 3);
    elsif first not between low and high or last not between low and high then
      problem := format('has %s, which is not between %s and %s', quote_literal(item), low, high);
    elsif first > last then
      problem := format('has %s, a range that ends before it begins', quote_literal(item));
      remedy := format('Write two ranges: %s-%s,%s-%s.', first, high, low, last);
    elsif part[6] is not null and step not between 1 and high then
      problem := format('has %s, a step that is not between 1 and %s', quote_literal(item), high);
      remedy := 'For longer times than a field has, use every, such as every => ''90 minutes''.';
    elsif part[6] is not null and part[1] <> '*' and part[4] is null then
      problem := format('has %s, a step without a range', quote_literal(item));
      remedy := format('Write %s-%s/%s.', first, high, step);
    end if;
    if problem is not null then
      perform supaqueue.refuse_cron(expression, format('its %s %s', field_name, problem), remedy);
    end if;
    for value in 0 .. (last - first) / step loop
      bits := bits | (1::bigint << first + value * step);
    end loop;
  end loop;
  return bits;
end
$$;

create or replace function supaqueue.cron_number(value text, low integer, names text[])
returns integer
language plpgsql
immutable
set search_path = ''
as $$
begin
  return case when value ~ '^[0-9]+$' then value::integer else array_position(names, value) + low - 1 end;
end
$$;

-- The number of the first bit of a mask from _from on; null: there is none.
create or replace function supaqueue.first_bit(mask bigint, _from integer)
returns integer
language plpgsql
immutable
set search_path = ''
as $$
begin
  mask := mask >> _from << _from;
  return 64 - nullif(position(B'1' in (mask & -mask)::bit(64)), 0);
end
$$;

-- The days of a month that match, as bits: bit 1 for the first.
create or replace function supaqueue.cron_days(cron bigint[], month timestamp)
returns bigint
language plpgsql
immutable
set search_path = ''
as $$
declare
  length integer := extract(day from month + interval '1 month' - interval '1 day');
  -- The days of the week, repeated, and moved so that bit 1 is the first day of the month.
  weekdays bigint := (cron[5] * 4432676798593) >> extract(dow from month)::integer << 1;
  days bigint := cron[3] | ((cron[3] & 1) << length);
begin
  if cron[4] >> extract(month from month)::integer & 1 = 0 then
    return 0;
  end if;
  return case cron[6] when 1 then days | weekdays else days & weekdays end & ((1::bigint << length + 1) - 2);
end
$$;

-- The first local time that matches, from _from on; null: there is none in 41 years.
create or replace function supaqueue.next_match(cron bigint[], _from timestamp)
returns timestamp
language plpgsql
immutable
set search_path = ''
as $$
declare
  at timestamp := date_trunc('minute', _from + interval '59.999999 seconds');
  month timestamp := date_trunc('month', at);
  _day integer := extract(day from at);
  _hour integer := extract(hour from at);
  _minute integer := extract(minute from at);
  days bigint;
  day integer;
  hour integer;
  minute integer;
begin
  for i in 0 .. 492 loop
    days := supaqueue.cron_days(cron, month);
    day := supaqueue.first_bit(days, _day);
    while day is not null loop
      if day > _day then
        _hour := 0;
        _minute := 0;
      end if;
      hour := supaqueue.first_bit(cron[2], _hour);
      minute := supaqueue.first_bit(cron[1], case when hour = _hour then _minute else 0 end);
      if minute is null then
        hour := supaqueue.first_bit(cron[2], hour + 1);
        minute := supaqueue.first_bit(cron[1], 0);
      end if;
      if hour is not null then
        return month + make_interval(days => day - 1, hours => hour, mins => minute);
      end if;
      day := supaqueue.first_bit(days, day + 1);
    end loop;
    month := month + interval '1 month';
    _day := 1;
    _hour := 0;
    _minute := 0;
  end loop;
  return null;
end
$$;
$migration$;

--- schema/22_next_time.sql

execute $migration$
-- When a schedule is due. Cron is walked in local time from one change of the clocks to the next:
--
-- A time that the clocks skip is due when the gap ends, and one that comes twice is due the first time.
-- But an expression whose minute or hour begins with * goes by elapsed time: what the clocks skip is
-- left out, and what comes twice is due twice.

-- The first time after _after; null: there is none. Without cron, every so often.
--
-- The work is bounded: it looks at two days at a time, and skips those before the next day that
-- matches.
create or replace function supaqueue.next_time(cron bigint[], every interval, timezone text, _after timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
declare
  seconds numeric := extract(epoch from every);
  -- Early enough to know whether the local time at _after comes a second time.
  at timestamptz := _after - interval '25 hours';
  until timestamptz;
  utc_offset interval;
  next_offset interval;
  local_end timestamp;
  seen timestamp := '-infinity';
  match timestamp;
begin
  if cron is null then
    return to_timestamp(((floor(extract(epoch from _after) / seconds) + 1) * seconds)::double precision);
  end if;
  utc_offset := supaqueue.utc_offset(timezone, at);
  for i in 1 .. 1000 loop
    until := at + interval '48 hours';
    next_offset := supaqueue.utc_offset(timezone, until);
    if next_offset <> utc_offset then
      until := supaqueue.clock_change(timezone, at, until);
      next_offset := supaqueue.utc_offset(timezone, until);
    end if;
    local_end := until at time zone 'UTC' + utc_offset;
    if until > _after then
      match := supaqueue.next_match(cron, greatest(
        greatest(at, _after + interval '1 microsecond') at time zone 'UTC' + utc_offset,
        case when cron[7] = 0 then seen end));
      if match is null then
        return null;
      elsif match < local_end then
        return (match - utc_offset) at time zone 'UTC';
      elsif cron[7] = 0 and match < local_end + (next_offset - utc_offset) then
        return until;
      end if;
    end if;
    seen := greatest(seen, local_end);
    at := case
      when next_offset = utc_offset and match > local_end + interval '72 hours'
      then until + (match - local_end - interval '48 hours')
      else until
    end;
    utc_offset := case when at = until then next_offset else supaqueue.utc_offset(timezone, at) end;
  end loop;
  return null;
end
$$;

create or replace function supaqueue.utc_offset(timezone text, at timestamptz)
returns interval
language plpgsql
stable
set search_path = ''
as $$
begin
  return at at time zone timezone - at at time zone 'UTC';
end
$$;

-- When the clocks change first between two times with different offsets.
create or replace function supaqueue.clock_change(timezone text, _after timestamptz, _until timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
declare
  low bigint := floor(extract(epoch from _after));
  high bigint := ceil(extract(epoch from _until));
  middle bigint;
  utc_offset interval := supaqueue.utc_offset(timezone, _after);
begin
  while high - low > 1 loop
    middle := (low + high) / 2;
    if supaqueue.utc_offset(timezone, to_timestamp(middle)) = utc_offset then
      low := middle;
    else
      high := middle;
    end if;
  end loop;
  return to_timestamp(high);
end
$$;

-- The last time up to _until; _known is one of the times before.
create or replace function supaqueue.last_time(
  cron bigint[], every interval, timezone text, _known timestamptz, _until timestamptz
)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
declare
  last timestamptz := _known;
  later timestamptz := _until;
  span interval := interval '1 minute';
  middle timestamptz;
  at timestamptz;
begin
  while _until - span > last loop
    at := supaqueue.next_time(cron, every, timezone, _until - span);
    if at <= _until then
      last := at;
    else
      later := _until - span;
      span := span * 2;
    end if;
  end loop;
  -- The last time is one of those from last to later.
  loop
    at := supaqueue.next_time(cron, every, timezone, last);
    exit when at is null or at > _until;
    last := at;
    middle := last + (later - last) / 2;
    at := supaqueue.next_time(cron, every, timezone, middle);
    if at <= _until then
      last := at;
    else
      later := middle;
    end if;
  end loop;
  return last;
end
$$;

-- How many times there are from _first to _last. In days on which the clocks change, as on others.
create or replace function supaqueue.count_times(
  cron bigint[], every interval, timezone text, _first timestamptz, _last timestamptz
)
returns bigint
language plpgsql
stable
set search_path = ''
as $$
declare
  first timestamp := _first at time zone timezone;
  last timestamp := _last at time zone timezone;
begin
  if cron is null then
    return round(extract(epoch from _last - _first) / extract(epoch from every)) + 1;
  end if;
  return (
    select coalesce(sum(supaqueue.matches_before(cron,
      case when d.day = date_trunc('day', last) then last + interval '1 minute' - d.day else interval '24 hours' end)
      - case when d.day = date_trunc('day', first) then supaqueue.matches_before(cron, first - d.day) else 0 end), 0)
    from generate_series(date_trunc('day', first), last, '1 day') as d (day)
    where supaqueue.cron_days(cron, date_trunc('month', d.day)) >> extract(day from d.day)::integer & 1 = 1
  );
end
$$;

-- How many times of a day that matches are before a time of day.
create or replace function supaqueue.matches_before(cron bigint[], _time interval)
returns bigint
language plpgsql
immutable
set search_path = ''
as $$
declare
  hour integer := extract(epoch from _time)::integer / 3600;
  minute integer := extract(epoch from _time)::integer / 60 % 60;
begin
  return bit_count((cron[2] & (1::bigint << hour) - 1)::bit(64)) * bit_count(cron[1]::bit(64))
    + (cron[2] >> hour & 1) * bit_count((cron[1] & (1::bigint << minute) - 1)::bit(64));
end
$$;
$migration$;

--- schema/23_settings.sql

execute $migration$
-- The settings. A missing row means the defaults, and is inserted again.
create or replace function supaqueue.settings()
returns supaqueue.setting
language plpgsql
set search_path = ''
as $$
declare
  setting supaqueue.setting;
begin
  select s.* into setting from supaqueue.setting s;
  if not found then
    insert into supaqueue.setting default values on conflict do nothing;
    select s.* into setting from supaqueue.setting s;
  end if;
  return setting;
end
$$;

-- So that the row can be updated from the beginning.
select supaqueue.settings();
$migration$;

--- schema/24_replace_row.sql

execute $migration$
-- A row that is loaded replaces the one that is there, so that the data of another database can be
-- loaded into one that has the schema. "enable always": dumps are loaded with triggers off.
create or replace function supaqueue.replace_row_tg_fn()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  case tg_table_name
    when 'version' then
      delete from supaqueue.version v where v.part = new.part and v.number = new.number;
    when 'setting' then
      delete from supaqueue.setting s where s.is_only_row;
    when 'last_tick' then
      delete from supaqueue.last_tick t where t.is_only_row;
    when 'queue' then
      -- One that a migration has made and that was not used.
      delete from supaqueue.worker w
      using supaqueue.queue q
      where w.queue = q.id and q.name = new.name and q.id <> new.id and not exists (select from supaqueue.job j where j.queue = q.id);
      delete from supaqueue.queue q
      where q.name = new.name and q.id <> new.id and not exists (select from supaqueue.job j where j.queue = q.id);
  end case;
  return new;
end
$$;

create or replace trigger replace_row_tg
before insert on supaqueue.version
for each row
execute function supaqueue.replace_row_tg_fn();
alter table supaqueue.version enable always trigger replace_row_tg;

create or replace trigger replace_row_tg
before insert on supaqueue.setting
for each row
execute function supaqueue.replace_row_tg_fn();
alter table supaqueue.setting enable always trigger replace_row_tg;

create or replace trigger replace_row_tg
before insert on supaqueue.last_tick
for each row
execute function supaqueue.replace_row_tg_fn();
alter table supaqueue.last_tick enable always trigger replace_row_tg;

create or replace trigger replace_row_tg
before insert on supaqueue.queue
for each row
execute function supaqueue.replace_row_tg_fn();
alter table supaqueue.queue enable replica trigger replace_row_tg;
$migration$;

--- schema/25_note_unfinished.sql

execute $migration$
-- Notes what could not be done, for the tick to do it again (see the table unfinished). The pause
-- is as long as it has not worked, at least 5 seconds, so that it doubles; at most 10 minutes for a
-- job, and 30 seconds for what concerns a whole queue.
--
-- A conflict with another transaction is normal: there is no pause, and the message is kept only
-- when it happens again. Nor is there one while nothing can be sent (55000, see post): trying costs
-- little, and a repair is noticed at the next tick. Other isolation levels only insert: an update could make them fail (40001).
create or replace function supaqueue.note_unfinished(
  _step text, _queue uuid, _job uuid, _sqlstate text, _message text, _outcome jsonb default null
)
returns void
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
  is_failure boolean := _message is not null and _sqlstate not in ('40001', '40P01', '55P03');
  has_pause boolean := is_failure and _sqlstate <> '55000';
  longest interval := case when _job is null then '30 seconds' else '10 minutes' end;
begin
  if current_setting('transaction_isolation') = 'read committed' then
    update supaqueue.unfinished u
    set tried_at = at, tries = u.tries + 1, sqlstate = _sqlstate,
      message = coalesce(_message, u.message), outcome = coalesce(_outcome, u.outcome),
      retry_at = case when has_pause then at + least(greatest(at - u.since, '5 seconds'), longest) else at end
    where u.id = (
      select n.id from supaqueue.unfinished n
      where coalesce(n.job, n.queue, '00000000-0000-0000-0000-000000000000')
          = coalesce(_job, _queue, '00000000-0000-0000-0000-000000000000')
        and n.step = _step and n.job is not distinct from _job
      order by n.id
      limit 1
      for update skip locked
    );
    if found then
      return;
    end if;
  end if;
  insert into supaqueue.unfinished (step, queue, job, sqlstate, message, outcome, retry_at)
  values (
    _step, _queue, _job, _sqlstate, case when is_failure then _message end, _outcome,
    case when has_pause then at + interval '5 seconds' else at end);
end
$$;

-- Whether a step of a queue (null: of all) is not to be tried yet.
create or replace function supaqueue.is_put_off(_step text, _queue uuid)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  return exists (
    select from supaqueue.unfinished u
    where coalesce(u.job, u.queue, '00000000-0000-0000-0000-000000000000')
        = coalesce(_queue, '00000000-0000-0000-0000-000000000000')
      and u.step = _step and u.job is null and u.retry_at > clock_timestamp()
  );
end
$$;

-- Deletes the notes about a step, unless another transaction is writing to them: what it noted is not
-- done then.
create or replace function supaqueue.note_done(_step text, _queue uuid, _job uuid default null)
returns void
language plpgsql
set search_path = ''
as $$
begin
  delete from supaqueue.unfinished u
  where u.id = any (array(
    select n.id from supaqueue.unfinished n
    where coalesce(n.job, n.queue, '00000000-0000-0000-0000-000000000000')
        = coalesce(_job, _queue, '00000000-0000-0000-0000-000000000000')
      and n.step = _step and n.job is not distinct from _job
    for update skip locked
  ));
end
$$;
$migration$;

--- schema/26_before_write_schedule.sql

execute $migration$
-- Checks a schedule, and sets when it is due next: when it is new, when what says so changes, and when
-- a pause ends.
create or replace function supaqueue.before_write_schedule_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  problem text;
  is_other_time boolean := true;
  at timestamptz;
begin
  new.overlap := coalesce(new.overlap, case new.missed when 'all' then 'allow' else 'skip' end);
  problem := case
    when num_nonnulls(new.cron, new.every) <> 1 then
      format('it has %s; give it one of them, such as cron => ''0 3 * * *'' or every => ''10 minutes''',
        case when new.cron is null then 'neither cron nor every' else 'both cron and every' end)
    when new.every < interval '1 second' then 'its every is less than a second'
    when extract(year from new.every) <> 0 or extract(month from new.every) <> 0 then
      'its every has months or years, whose length varies; use cron, such as ''0 0 1 * *'''
  end;
  if problem is not null then
    raise exception 'cannot store the schedule %: %', quote_literal(new.name), problem using errcode = 'invalid_parameter_value';
  end if;
  if tg_op = 'UPDATE' then
    is_other_time := (new.name, new.cron, new.every, new.timezone, new.spread)
      is distinct from (old.name, old.cron, old.every, old.timezone, old.spread);
    if new.is_paused and not is_other_time then
      new.next_at := null;
      return new;
    elsif old.next_at is not null and not is_other_time then
      return new;
    elsif old.is_paused and not new.is_paused then
      -- Failures before the pause do not count.
      new.recent_jobs := '{}';
      new.paused_because := null;
    end if;
  end if;
  new.timezone := supaqueue.timezone_named(new.timezone);
  new.parsed := case when new.cron is not null then supaqueue.parse_cron(new.cron) end;
  at := supaqueue.next_due(new, clock_timestamp());
  if at is null then
    raise exception 'cannot store the schedule %: its cron expression % names a day that does not exist', quote_literal(new.name), quote_literal(new.cron)
      using errcode = 'invalid_parameter_value', hint = 'No month that it names has such a day, as with 30 2 for February 30. For the last day of a month write l: ''0 0 l * *''.';
  end if;
  new.next_at := case when not new.is_paused then at end;
  -- Whatever failed before is tried at the next time.
  perform supaqueue.note_done('schedule', new.id);
  return new;
end
$$;

create or replace trigger before_write_schedule_tg
before insert or update of name, cron, every, timezone, spread, is_paused, missed, overlap on supaqueue.schedule
for each row
execute function supaqueue.before_write_schedule_tg_fn();

-- When a schedule inserts a job next, after a time; null: never.
create or replace function supaqueue.next_due(schedule supaqueue.schedule, _after timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
declare
  delay interval := supaqueue.delay(schedule.name, schedule.spread);
begin
  return delay + supaqueue.next_time(schedule.parsed, schedule.every, schedule.timezone, _after - delay);
end
$$;

-- How much later than its times a schedule inserts its jobs.
create or replace function supaqueue.delay(name text, spread interval)
returns interval
language plpgsql
immutable
set search_path = ''
as $$
begin
  return ('x' || left(md5(name), 8))::bit(32)::bigint % greatest(extract(epoch from spread)::bigint, 1) * interval '1 second';
end
$$;

-- The name of a time zone as Postgres writes it. Forms such as UTC+2, which Postgres accepts, and
-- counts in the other direction, are refused.
create or replace function supaqueue.timezone_named(timezone text)
returns text
language plpgsql
set search_path = ''
as $$
declare
  found_name text;
begin
  -- The view reads hundreds of files. Not "stable": that would not see the rows of the same statement.
  if timezone = 'UTC' or exists (select from supaqueue.schedule s where s.timezone = timezone_named.timezone) then
    return timezone;
  end if;
  select z.name into found_name
  from pg_catalog.pg_timezone_names z
  where lower(z.name) = lower(timezone_named.timezone)
  limit 1;
  if found_name is null then
    raise exception 'there is no time zone named %', coalesce(quote_literal(timezone), 'null')
      using errcode = 'invalid_parameter_value',
        hint = 'Names are like UTC or Europe/Berlin: select name from pg_timezone_names order by name.';
  end if;
  return found_name;
end
$$;
$migration$;

--- schema/26_on_end.sql

execute $migration$
-- The jobs that a queue with on_end inserts into another one for each job that has ended: in the
-- transaction that ends it, and by the tick if that fails. They carry the header supaqueue-on-end, and cause
-- no others.

-- Adds a job that is about to end to the list for on_end_tg, if its queue has on_end. The list is a setting
-- local to the transaction, as in wake_up. A statement that ends many jobs inserts 100 at a time: a longer list
-- takes longer to extend.
create or replace function supaqueue.note_end(_job uuid, _queue uuid, _status text)
returns void
language plpgsql
set search_path = ''
as $$
declare
  jobs text;
begin
  if not exists (
    select from supaqueue.queue q where q.id = _queue and q.on_end is not null and (_status = 'failed' or q.on_end_of = 'all')
  ) then
    return;
  end if;
  -- A job that could not be set back to pending (take_key_again) has not ended once more.
  if current_setting('supaqueue.is_restored', true) = 'on' then
    return;
  end if;
  jobs := coalesce(current_setting('supaqueue.ended_jobs', true), '');
  if length(jobs) >= 100 * 37 then
    -- Those are in the table with their new status; this one is not yet.
    perform supaqueue.insert_end_jobs();
    jobs := '';
  end if;
  perform set_config('supaqueue.ended_jobs', jobs || _job || ' ', true);
end
$$;

-- Inserts the jobs for those on the list, and empties it. Never fails.
create or replace function supaqueue.insert_end_jobs()
returns void
language plpgsql
set search_path = public, extensions
set lock_timeout = '100ms'
as $$
declare
  list text := current_setting('supaqueue.ended_jobs', true);
  jobs uuid[];
begin
  perform set_config('supaqueue.ended_jobs', '', true);
  begin
    jobs := string_to_array(rtrim(list), ' ');
    insert into supaqueue.job (queue, headers, payload)
    select e.on_end, e.headers, e.payload from supaqueue.end_jobs(jobs) e;
  exception
    when others then
      raise warning 'supaqueue left the jobs of on_end to the tick: %', sqlerrm using errcode = sqlstate;
      perform supaqueue.note_unfinished('on end', e.queue, e.job, sqlstate, sqlerrm,
        jsonb_build_object('headers', e.headers, 'payload', e.payload))
      from supaqueue.end_jobs(jobs) e;
  end;
end
$$;

-- What is to be inserted for jobs that have ended. Payloads and results above 1 MB are left out, so that no
-- job is refused because of its size.
create or replace function supaqueue.end_jobs(_jobs uuid[])
returns table (queue uuid, job uuid, on_end uuid, headers jsonb, payload jsonb)
language plpgsql
set search_path = ''
as $$
begin
  return query
  select
    j.queue, j.id, q.on_end, jsonb_build_object('supaqueue-on-end', j.id),
    jsonb_build_object('job', jsonb_build_object(
      'id', j.id, 'queue', q.name, 'status', j.status, 'attempts', j.attempts, 'http_status', j.http_status,
      'error', case when j.status <> 'successful' then left(j.errors -> -1 ->> 'message', 10000) end,
      'error_group', j.error_group, 'key', j.key, 'tenant', j.tenant, 'created_at', j.created_at, 'finished_at', j.finished_at,
      'payload', case when s.payload_bytes <= 1000000 then j.payload end,
      'result', case when s.result_bytes <= 1000000 then j.result end,
      'left_out', array_remove(array[
        case when s.payload_bytes > 1000000 then 'payload' end, case when s.result_bytes > 1000000 then 'result' end], null)))
  from (select distinct i.id from unnest(_jobs) as i (id)) i
  -- "offset 0": each job is looked up by its id, whatever the statistics say.
  cross join lateral (select t.* from supaqueue.job t where t.id = i.id offset 0) j
  join supaqueue.queue q on q.id = j.queue
  cross join lateral (
    select octet_length(j.payload::text) as payload_bytes, octet_length(j.result::text) as result_bytes offset 0
  ) s
  where j.finished_at is not null and q.on_end is not null and (j.status = 'failed' or q.on_end_of = 'all')
    and (j.headers ? 'supaqueue-on-end') is not true
  order by j.finished_at, j.id;
end
$$;

create or replace function supaqueue.on_end_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform supaqueue.insert_end_jobs();
  return null;
end
$$;

-- Per statement: its rows were noted before they were changed. The condition is false, and costs next to
-- nothing, where no queue has on_end.
create or replace trigger on_end_tg
after update on supaqueue.job
for each statement when (current_setting('supaqueue.ended_jobs', true) <> '')
execute function supaqueue.on_end_tg_fn();

-- Inserts the jobs of a queue's on_end that could not be inserted before; they go where on_end points by now.
create or replace function supaqueue.insert_end_jobs_again(_queue uuid)
returns void
language plpgsql
set search_path = public, extensions
set lock_timeout = '1s'
as $$
declare
  item record;
begin
  for item in select u.* from supaqueue.unfinished_ends(_queue, 1000) u loop
    begin
      insert into supaqueue.job (queue, headers, payload)
      select item.on_end, item.outcome -> 'headers', item.outcome -> 'payload' where item.on_end is not null;
      delete from supaqueue.unfinished u where u.id = item.id;
    exception
      when others then
        perform supaqueue.note_unfinished('on end', _queue, item.job, sqlstate, sqlerrm);
    end;
  end loop;
end
$$;

create or replace function supaqueue.unfinished_ends(_queue uuid, _limit integer)
returns table (id bigint, job uuid, on_end uuid, outcome jsonb)
language plpgsql
set search_path = ''
as $$
begin
  return query
  select u.id, u.job, q.on_end, u.outcome
  from supaqueue.unfinished u
  left join supaqueue.queue q on q.id = u.queue
  where u.queue = _queue and u.step = 'on end' and u.retry_at <= clock_timestamp()
  order by u.id
  limit _limit
  for update of u skip locked;
end
$$;
$migration$;

--- schema/27_check_filter.sql

execute $migration$
-- Checks a filter of jobs, and returns it as find_jobs reads it: lists where one value or several are allowed, the ids of
-- queues for their names, and times in UTC. What it does not know is refused, so that a filter with a
-- typing error never means all jobs.
create or replace function supaqueue.check_filter(filter jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
declare
  known constant jsonb := '{
    "queue": "the name of a queue, or a list of names",
    "status": "pending, waiting, in_progress, successful, failed or cancelled, or a list of them",
    "key": "a string, or a list of strings",
    "tenant": "a string, or a list of strings",
    "error_group": "a string, or a list of strings",
    "http_status": "a whole number, or a list of them",
    "created_after": "an ISO 8601 time, such as 2026-01-31T12:00:00Z",
    "created_before": "an ISO 8601 time, such as 2026-01-31T12:00:00Z",
    "finished_after": "an ISO 8601 time, such as 2026-01-31T12:00:00Z",
    "finished_before": "an ISO 8601 time, such as 2026-01-31T12:00:00Z",
    "payload": "the JSON that the payload contains, such as {\"user\": 42}",
    "ids": "a list of at most 10000 ids"
  }';
  checked jsonb := '{}';
  field record;
  _values jsonb;
  value jsonb;
  fits boolean;
begin
  if jsonb_typeof(filter) is distinct from 'object' then
    raise exception 'cannot filter jobs: the filter is not an object'
      using errcode = 'invalid_parameter_value', hint = 'An example: {"queue": "emails", "status": "failed"}. {} is every job.';
  end if;
  for field in select f.key as name, f.value, known ->> f.key as kind from jsonb_each(filter) f loop
    if field.kind is null then
      raise exception 'cannot filter jobs: there is no field %', quote_literal(field.name)
        using errcode = 'invalid_parameter_value',
          hint = 'The fields are ' || (select string_agg(k.name, ', ') from jsonb_object_keys(known) k (name)) || '.';
    end if;
    _values := case
      when field.name <> 'payload' and field.name !~ '_(after|before)$' and jsonb_typeof(field.value) = 'array' then field.value
      else jsonb_build_array(field.value)
    end;
    fits := field.value <> 'null' and (field.name <> 'ids' or jsonb_array_length(_values) <= 10000);
    for value in select v.value from jsonb_array_elements(_values) v loop
      exit when not fits;
      begin
        case
          when field.name = 'payload' then null;
          when field.name = 'http_status' then fits := value::text ~ '^[0-9]{1,9}$';
          when jsonb_typeof(value) <> 'string' then fits := false;
          when field.name = 'status' then
            fits := value #>> '{}' in ('pending', 'waiting', 'in_progress', 'successful', 'failed', 'cancelled');
          when field.name = 'ids' then perform (value #>> '{}')::uuid;
          when field.name ~ '_(after|before)$' then
            fits := value #>> '{}' ~ '^\d{4,6}-\d\d-\d\d';
            if fits then
              perform (value #>> '{}')::timestamptz;
            end if;
          else null;
        end case;
      exception
        when data_exception then fits := false;
      end;
    end loop;
    if not fits then
      raise exception 'cannot filter jobs: % is not %', field.name, field.kind
        using errcode = 'invalid_parameter_value', hint = format('It is %s.', left(field.value::text, 100));
    end if;
    checked := checked || jsonb_build_object(field.name, case
      when field.name = 'queue' then (
        select coalesce(jsonb_agg(distinct supaqueue.queue_id(n.name)), '[]') from jsonb_array_elements_text(_values) n (name)
      )
      when field.name = 'ids' then (select coalesce(jsonb_agg(distinct i.id::uuid), '[]') from jsonb_array_elements_text(_values) i (id))
      when field.name = 'payload' then field.value
      when field.name ~ '_(after|before)$' then to_jsonb((field.value #>> '{}')::timestamptz)
      else (select coalesce(jsonb_agg(distinct v.value), '[]') from jsonb_array_elements(_values) v)
    end);
  end loop;
  return checked;
end
$$;
comment on function supaqueue.check_filter is 'Checks a filter of jobs; an error names the field that does not fit';
$migration$;

--- schema/28_find_jobs.sql

execute $migration$
-- Which jobs a filter matches. list_jobs, preview and operations all read jobs through this, so that they
-- agree.
--
-- A filter, as check_filter returns it, is read as one or two segments, one after the other. Each is an order in which an
-- index has the jobs, so that a call reads the next ones only, and a place in it that an unchanged job
-- keeps:
--
--   ids, key, tenant, living, all   by id
--   ended, error_group              by finished_at and id
--
-- The rest of the filter is conditions on each job that is read. Operations add the field "until": what was inserted, or
-- ended, after it does not match; and "segments", so that theirs stay the same.

-- The statuses that jobs which match can have.
create or replace function supaqueue.filter_statuses(f jsonb)
returns text[]
language plpgsql
immutable
set search_path = ''
as $$
begin
  return array(
    select s.name
    from unnest(array['pending', 'waiting', 'in_progress', 'successful', 'failed', 'cancelled']) with ordinality as s (name, number)
    where (not f ? 'status' or f -> 'status' ? s.name)
      and (s.number > 3 or not f ?| array['finished_after', 'finished_before'])
      and (s.name = 'failed' or not f ? 'error_group')
    order by s.number
  );
end
$$;

-- The segments of a filter. Those of a queue, a status, a key, a tenant or a group are merged from an index range for each
-- queue and each of these; more than 150 would take longer to plan than to read jobs by id.
create or replace function supaqueue.filter_segments(f jsonb)
returns text[]
language plpgsql
stable
set search_path = ''
as $$
declare
  most constant integer := 150;
  statuses text[] := supaqueue.filter_statuses(f);
  ended integer := (select count(*) from unnest(statuses) s (name) where s.name in ('successful', 'failed', 'cancelled'));
  queues integer := coalesce(jsonb_array_length(f -> 'queue'), (select count(*) from (select from supaqueue.queue q limit 151) q));
begin
  if f ? 'segments' then
    return array(select jsonb_array_elements_text(f -> 'segments'));
  elsif statuses = '{}' or queues = 0 or exists (select from jsonb_each(f) c (name, value) where c.value = '[]' and c.name <> 'payload') then
    return '{}';
  elsif f ? 'ids' then
    return '{ids}';
  elsif f ? 'error_group' and queues * jsonb_array_length(f -> 'error_group') <= most then
    return '{error_group}';
  elsif f ? 'key' and queues * jsonb_array_length(f -> 'key') <= most then
    return '{key}';
  elsif f ? 'tenant' and queues * jsonb_array_length(f -> 'tenant') <= most then
    return '{tenant}';
  elsif cardinality(statuses) = 6 and not f ? 'queue' or queues * ended > most then
    return '{all}';
  end if;
  return case when ended < cardinality(statuses) then array['living'] else '{}' end
    || case when ended > 0 then array['ended'] else '{}' end;
end
$$;

-- The query of a segment: id, "at" (null where the order is by id) and whether the other conditions hold ("fits"), of its jobs
-- from the place after "after" on, the newest first, or the oldest if it goes forward.
create or replace function supaqueue.segment_query(segment text, f jsonb, after jsonb, is_forward boolean)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  direction text := case when is_forward then 'asc' else 'desc' end;
  beyond text := case when is_forward then '>' else '<' end;
  after_id text := format(' and id %s %L', beyond, after ->> 'id');
  statuses text[] := supaqueue.filter_statuses(f);
  queues uuid[] := case
    when f ? 'queue' then array(select q.id::uuid from jsonb_array_elements_text(f -> 'queue') q (id))
    else array(select q.id from supaqueue.queue q limit 151)
  end;
  fits text := coalesce(supaqueue.filter_conditions(f, segment), 'true');
  places text;
  range text;
  ranges text;
begin
  if after ->> 'id' is null then
    after_id := '';
  end if;
  if segment = 'ids' then
    places := format('select unnest(%L::uuid[])', array(select i.id from jsonb_array_elements_text(f -> 'ids') i (id)));
  elsif segment = 'living' and supaqueue.living_jobs(f, 50001) < 50001 then
    places := supaqueue.places_query(f);
  end if;
  if places is not null then
    return format(
      'select s.id, null::timestamptz as at, exists (select from supaqueue.job j where j.id = s.id and %s) as fits
       from (select id from (%s) places (id) where true%s order by id %s) s', fits, places, after_id, direction);
  elsif segment in ('all', 'living') then
    return format('select id, null::timestamptz as at, %s as fits from supaqueue.job j where true%s order by id %s', fits, after_id, direction);
  elsif segment in ('key', 'tenant') then
    select string_agg(format('(select id, null::timestamptz as at, %s as fits from supaqueue.job j where queue = %L and %I = %L%s order by id %s)',
      fits, q.id, segment, v.value, after_id, direction), ' union all ')
    into ranges
    from unnest(queues) q (id)
    cross join jsonb_array_elements_text(f -> segment) v (value);
    return format('select id, at, fits from (%s) ranges order by id %s', ranges, direction);
  end if;
  range := format(' and finished_at is not null and finished_at >= %L and finished_at < %L and finished_at <= %L',
    coalesce(f ->> 'finished_after', '-infinity'), coalesce(f ->> 'finished_before', 'infinity'), coalesce(f ->> 'until', 'infinity'));
  if after ->> 'id' is not null then
    range := range || format(' and (finished_at, id) %s (%L, %L)', beyond, after ->> 'at', after ->> 'id');
  end if;
  select string_agg(format('(select id, finished_at as at, %s as fits from supaqueue.job j where queue = %L and %I = %L%s order by finished_at %6$s, id %6$s)',
    fits, q.id, r.name, r.value, range, direction), ' union all ')
  into ranges
  from unnest(queues) q (id)
  cross join (
    select 'error_group' as name, g.name as value
    from jsonb_array_elements_text(f -> 'error_group') g (name)
    where segment = 'error_group'
    union all
    select 'ended_as', s.name
    from unnest(statuses) s (name)
    where segment = 'ended' and s.name in ('successful', 'failed', 'cancelled')
  ) r;
  return format('select id, at, fits from (%s) ranges order by at %2$s, id %2$s', ranges, direction);
end
$$;

-- The places of the living jobs of a filter's queues and statuses.
create or replace function supaqueue.places_query(f jsonb)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  statuses text[] := supaqueue.filter_statuses(f);
  queues text := case
    when f ? 'queue' then format(' and queue = any (%L)', array(select q.id from jsonb_array_elements_text(f -> 'queue') q (id)))
    else ''
  end;
begin
  return (
    select string_agg(p.query || queues, ' union ')
    from (values
      ('pending', 'select job from supaqueue.ready_job where true'),
      ('pending', 'select job from supaqueue.held_job where until < ''infinity'''),
      ('waiting', 'select job from supaqueue.held_job where until = ''infinity'''),
      ('in_progress', 'select job from supaqueue.current_job where true'),
      -- Their calls have ended.
      ('in_progress', 'select job from supaqueue.unfinished where step = ''settle'' and job is not null')
    ) as p (status, query)
    where p.status = any (statuses)
  );
end
$$;

-- How many there are, counted up to a limit.
create or replace function supaqueue.living_jobs(f jsonb, _limit integer)
returns integer
language plpgsql
stable
set search_path = ''
as $$
declare
  number integer;
begin
  execute format('select count(*) from (select from (%s) places (id) limit %s) counted', replace(supaqueue.places_query(f), ' union ', ' union all '), _limit)
  into number;
  return number;
end
$$;

-- The conditions on a job that a segment does not see to, on j; null: there are none.
create or replace function supaqueue.filter_conditions(f jsonb, segment text default 'all')
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  statuses text[] := supaqueue.filter_statuses(f);
  conditions text[] := '{}';
  in_segment text[] := case segment
    when 'ended' then array['queue', 'status', 'finished_after', 'finished_before']
    when 'error_group' then array['queue', 'error_group', 'finished_after', 'finished_before']
    when 'key' then array['queue', 'key']
    when 'tenant' then array['queue', 'tenant']
    when 'ids' then array['ids']
    else '{}'
  end;
  living constant text[] := array['pending', 'waiting', 'in_progress'];
begin
  if segment = 'living' then
    statuses := array(select s.name from unnest(statuses) s (name) where s.name = any (living));
  end if;
  if segment not in ('ended') and cardinality(statuses) < 6 then
    conditions := conditions || format('j.status = any (%L)', statuses);
  end if;
  select conditions || coalesce(array_agg(format(
    case c.name
      when 'queue' then 'j.queue = any (%L::uuid[])'
      when 'ids' then 'j.id = any (%L::uuid[])'
      when 'key' then 'j.key = any (%L::text[])'
      when 'tenant' then 'j.tenant = any (%L::text[])'
      when 'error_group' then 'j.error_group = any (%L::text[])'
      when 'http_status' then 'j.http_status = any (%L::integer[])'
      when 'created_after' then 'j.created_at >= %L'
      when 'created_before' then 'j.created_at < %L'
      when 'finished_after' then 'j.finished_at >= %L'
      when 'finished_before' then 'j.finished_at < %L'
      when 'payload' then 'j.payload @> %L::jsonb'
      when 'until' then 'j.created_at <= %1$L and (j.finished_at is null or j.finished_at <= %1$L)'
    end,
    case when jsonb_typeof(c.value) = 'array' and c.name <> 'payload' then array(select jsonb_array_elements_text(c.value))::text else case c.name when 'payload' then c.value::text else c.value #>> '{}' end end)
    order by c.name), '{}')
  into conditions
  from jsonb_each(f) c (name, value)
  where c.name not in ('status', 'segments') and c.name <> all (in_segment);
  return nullif(array_to_string(conditions, ' and '), '');
end
$$;

-- The next jobs that match, at most _limit, and at most "budget" that were examined. next: from where to go on, null: these were the
-- last ones.
create or replace function supaqueue.find_jobs(
  f jsonb, after jsonb, _limit integer, budget integer, is_forward boolean,
  out jobs uuid[], out next jsonb, out examined integer
)
language plpgsql
stable
set search_path = ''
as $$
declare
  segments text[] := supaqueue.filter_segments(f);
  most integer;
  matching record;
begin
  jobs := '{}';
  examined := 0;
  if after is not null then
    segments := segments[array_position(segments, after ->> 'segment'):];
    if segments is null then
      raise exception 'cannot list jobs: there are more or fewer queues than when the first page was read'
        using errcode = 'invalid_parameter_value', hint = 'Start with the first page again: pass null as the cursor.';
    end if;
  end if;
  for segment_number in 1 .. cardinality(segments) loop
    most := _limit - cardinality(jobs) + 1;
    -- The walk ends with the page. Where it does not fill it, its last row is known, too.
    execute format(
      'with walk as materialized (select id, at, fits, row_number() over () as n from (%s limit %s) segment)
       select m.*, l.n as last_n, l.id as last_id, l.at as last_at
       from (
         select coalesce(array_agg(w.id order by w.n), ''{}'') as ids, array_agg(w.at order by w.n) as ats, max(w.n) as n
         from (select * from walk where fits limit %s) w
       ) m
       left join lateral (select * from walk where cardinality(m.ids) < %s order by n desc limit 1) l on true',
      supaqueue.segment_query(segments[segment_number], f, after, is_forward), budget - examined, most, most)
    into matching;
    if cardinality(matching.ids) = most then
      -- The one too many says that there are more.
      jobs := jobs || trim_array(matching.ids, 1);
      examined := examined + matching.n - 1;
      next := jsonb_build_object('segment', segments[segment_number], 'id', matching.ids[most - 1], 'at', matching.ats[most - 1]);
      exit;
    end if;
    jobs := jobs || matching.ids;
    examined := examined + coalesce(matching.last_n, 0);
    if examined >= budget then
      next := jsonb_build_object('segment', segments[segment_number], 'id', matching.last_id, 'at', matching.last_at);
      exit;
    end if;
    after := null;
  end loop;
end
$$;
$migration$;

--- schema/29_before_write_operation.sql

execute $migration$
-- Checks an operation that is inserted, so that one that cannot be done never starts, and keeps it as it is: only
-- status and per_second change later, and what Supaqueue keeps.
create or replace function supaqueue.before_write_operation_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' then
    new.created_at := clock_timestamp();
    new.plan := supaqueue.operation_plan(new.action, new.filter, new.changes) || jsonb_build_object('until', new.created_at);
    -- The queues and the segments of now, so that the cursor keeps its meaning when queues come and go.
    if not new.plan ? 'queue' and (select count(*) from supaqueue.queue q) <= 150 then
      new.plan := new.plan || jsonb_build_object('queue', (select coalesce(jsonb_agg(q.id), '[]') from supaqueue.queue q));
    end if;
    new.plan := new.plan || jsonb_build_object('segments', supaqueue.filter_segments(new.plan));
    new.paced_at := new.created_at;
    return new;
  end if;
  if (new.id, new.created_at, new.created_by, new.action, new.filter, new.changes, new.plan)
    is distinct from (old.id, old.created_at, old.created_by, old.action, old.filter, old.changes, old.plan)
  then
    raise exception 'cannot change what operation % does', old.id
      using errcode = 'object_not_in_prerequisite_state', hint = 'Stop it (update … set status = ''stopped''), and insert another one.';
  end if;
  if new.status <> old.status then
    if old.status = 'done' then
      raise exception 'cannot set operation % to %: it is done', old.id, new.status
        using errcode = 'object_not_in_prerequisite_state', hint = 'Insert another one.';
    elsif new.status = 'running' then
      new.finished_at := null;
      new.paced_at := clock_timestamp();
    else
      new.finished_at := clock_timestamp();
    end if;
  end if;
  return new;
end
$$;

create or replace trigger before_insert_operation_tg
before insert on supaqueue.operation
for each row
execute function supaqueue.before_write_operation_tg_fn();

create or replace trigger before_update_operation_tg
before update on supaqueue.operation
for each row
execute function supaqueue.before_write_operation_tg_fn();
$migration$;

--- schema/29_operation_plan.sql

execute $migration$
-- The filter of an operation, as find_jobs reads it, of the jobs that the action acts on. Refuses what cannot be done.
create or replace function supaqueue.operation_plan(action text, filter jsonb, changes jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  f jsonb := supaqueue.check_filter(filter);
  statuses jsonb := case action
    when 'retry' then case when f -> 'status' ? 'successful' then '["failed", "cancelled", "successful"]' else '["failed", "cancelled"]' end
    when 'cancel' then '["pending", "waiting", "in_progress"]'
    when 'change' then '["pending", "waiting", "in_progress"]'
    when 'delete' then '["pending", "waiting", "in_progress", "successful", "failed", "cancelled"]'
  end;
begin
  if statuses is null then
    raise exception 'cannot act on jobs: there is no action %', coalesce(quote_literal(action), 'null')
      using errcode = 'invalid_parameter_value', hint = 'The actions are retry, cancel, delete and change.';
  elsif action = 'change' then
    perform supaqueue.check_changes(changes);
  elsif changes is not null then
    raise exception 'cannot % jobs: changes are for the action change', action
      using errcode = 'invalid_parameter_value', hint = 'Leave changes out.';
  end if;
  if f ? 'status' then
    if f -> 'status' <> '[]' and not statuses ?| array(select jsonb_array_elements_text(f -> 'status')) then
      raise exception 'cannot % jobs that are %', action, array_to_string(array(select jsonb_array_elements_text(f -> 'status')), ' or ')
        using errcode = 'invalid_parameter_value',
          hint = format('The action %s is for jobs that are %s.', action,
            case action
              when 'retry' then 'failed, cancelled or successful'
              else 'pending, waiting or in_progress'
            end);
    end if;
    statuses := (select coalesce(jsonb_agg(s.value), '[]') from jsonb_array_elements(statuses) s where f -> 'status' @> s.value);
  end if;
  return f || jsonb_build_object('status', statuses);
end
$$;

-- Checks the new values of a change.
create or replace function supaqueue.check_changes(changes jsonb)
returns void
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
declare
  known constant jsonb := '{
    "priority": "a whole number", "run_at": "an ISO 8601 time", "max_attempts": "a whole number, or null", "timeout_ms": "a whole number, or null",
    "headers": "an object, or null", "path": "a string, or null", "tenant": "a string, or null", "payload": "JSON other than null", "queue": "the name of a queue"
  }';
  change record;
  fits boolean;
  broken record;
begin
  if jsonb_typeof(changes) is distinct from 'object' or changes = '{}' then
    raise exception 'cannot change jobs: changes is not an object with new values'
      using errcode = 'invalid_parameter_value', hint = 'An example: {"priority": -1}.';
  end if;
  for change in select c.key as name, c.value, known ->> c.key as kind from jsonb_each(changes) c loop
    if change.kind is null then
      raise exception 'cannot change %: it is not a column that an operation can change', quote_ident(change.name)
        using errcode = 'invalid_parameter_value',
          hint = 'Those are ' || (select string_agg(k.name, ', ') from jsonb_object_keys(known) k (name)) || '.';
    end if;
    begin
      fits := true;
      if change.value = 'null' then
        fits := change.kind like '%, or null';
      elsif change.name in ('priority', 'max_attempts', 'timeout_ms') then
        perform change.value::text::integer;
      elsif change.name = 'run_at' then
        fits := jsonb_typeof(change.value) = 'string' and change.value #>> '{}' ~ '^\d{4,6}-\d\d-\d\d';
        if fits then
          perform (change.value #>> '{}')::timestamptz;
        end if;
      elsif change.name in ('path', 'tenant', 'queue') then
        fits := jsonb_typeof(change.value) = 'string';
      elsif change.name = 'headers' then
        fits := jsonb_typeof(change.value) = 'object';
      end if;
    exception
      when data_exception then fits := false;
    end;
    if not fits then
      raise exception 'cannot change %: its new value is not %', change.name, change.kind
        using errcode = 'invalid_parameter_value', hint = format('It is %s.', left(change.value::text, 100));
    elsif change.name = 'queue' then
      perform supaqueue.queue_id(change.value #>> '{}');
    end if;
  end loop;
  broken := supaqueue.broken_rule(
    coalesce(changes -> 'payload', '{}'), (changes ->> 'max_attempts')::integer, (changes ->> 'timeout_ms')::integer,
    nullif(changes -> 'headers', 'null'), changes ->> 'path', changes ->> 'tenant');
  if broken.rule is not null then
    raise exception 'cannot change jobs: %', broken.problem
      using errcode = 'check_violation', constraint = broken.rule, schema = 'supaqueue', table = 'job';
  end if;
end
$$;
$migration$;

--- schema/30_lock_queues.sql

execute $migration$
-- Locks queues until the end of the transaction, in the order of their ids.
--
-- Whoever makes a job ready takes the lock shared, and then looks for a free worker. Whoever
-- makes a worker usable (frees it, adds it, ends a pause) takes it exclusively, and then looks
-- for a job. So an insert and a report that end at the same moment see each other: one of
-- them waits, and sees what the other committed.
--
-- No user's commit waits for others for long: it gives up (55P03), and the tick does its work.
create or replace function supaqueue.lock_queues(_shared uuid[], _exclusive uuid[])
returns void
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  _queue uuid;
  key bigint;
begin
  for _queue in select distinct unnest(_shared || _exclusive) order by 1 loop
    key := hashtextextended('supaqueue.queue:' || _queue, 0);
    if _queue = any (_exclusive) then
      perform pg_advisory_xact_lock(key);
    else
      perform pg_advisory_xact_lock_shared(key);
    end if;
  end loop;
end
$$;
$migration$;

--- schema/31_wake_up.sql

execute $migration$
-- Queues in which a transaction made something startable are dispatched once, at its end.
--
-- A deferred trigger fires once per row, so only the first row of a transaction queues the event,
-- and later rows only add their queue to the list that the event will find. The list is a setting
-- local to the transaction: rolling back a savepoint undoes both the list and the event.

-- Adds a queue to the list. Returns true if the transaction has no event yet. _priority and _run_at
-- are the place of a job that is ready now; null: a worker became usable.
--
-- A transaction dispatches 50 queues at most. The others are left to the tick, so that no commit
-- takes long or holds many locks.
create or replace function supaqueue.wake_up(_queue uuid, _priority integer, _run_at timestamptz)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  queues text := coalesce(current_setting('supaqueue.queues_to_dispatch', true), '');
  place text := coalesce(current_setting('supaqueue.first_place', true), '');
begin
  if position(_queue::text in queues) > 0 then
    null;
  elsif length(queues) < 50 * 37 then
    perform set_config('supaqueue.queues_to_dispatch', queues || _queue || ' ', true);
  else
    perform supaqueue.leave_to_tick(_queue);
  end if;
  if _run_at is null then
    perform set_config('supaqueue.has_usable_workers', 'on', true);
  elsif place = '' or (_priority, extract(epoch from _run_at))
    < (split_part(place, ' ', 1)::integer, split_part(place, ' ', 2)::numeric)
  then
    -- Seconds since 1970: the text of a timestamp depends on the session's settings.
    perform set_config('supaqueue.first_place', _priority || ' ' || extract(epoch from _run_at), true);
  end if;
  return queues = '';
end
$$;

-- Has the tick look at a queue.
create or replace function supaqueue.leave_to_tick(_queue uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  insert into supaqueue.unfinished (step, queue)
  select 'start', _queue
  where not exists (select from supaqueue.unfinished u where u.queue = _queue and u.step = 'start' and u.job is null);
end
$$;

-- Returns the list and empties it.
create or replace function supaqueue.take_wake_ups(out queues uuid[], out has_usable_workers boolean)
language plpgsql
set search_path = ''
as $$
begin
  queues := string_to_array(rtrim(coalesce(current_setting('supaqueue.queues_to_dispatch', true), '')), ' ');
  has_usable_workers := coalesce(current_setting('supaqueue.has_usable_workers', true), '') = 'on';
  if queues <> '{}' then
    perform set_config('supaqueue.queues_to_dispatch', '', true);
    perform set_config('supaqueue.has_usable_workers', '', true);
  end if;
end
$$;
$migration$;

--- schema/32_place_job.sql

execute $migration$
-- Each living job is in one of three places: ready_job, held_job or current_job. This trigger keeps
-- the first two; whoever starts or settles a job keeps the third.
create or replace function supaqueue.place_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op <> 'INSERT' then
    if tg_op = 'UPDATE' and (new.status, new.queue, new.priority, new.run_at) = (old.status, old.queue, old.priority, old.run_at)
      -- Whoever looked for a job while enqueue changed this one passed it over: it has to be dispatched again.
      and (new.key is null or new.status <> 'pending')
    then
      return null;
    end if;
    if old.status in ('pending', 'waiting') then
      delete from supaqueue.ready_job r
      where r.queue = old.queue and r.priority = old.priority and r.run_at = old.run_at and r.position = old.position;
      if not found then
        delete from supaqueue.held_job h where h.job = old.id;
      end if;
    end if;
  end if;
  if tg_op <> 'DELETE' and new.status in ('pending', 'waiting') then
    perform supaqueue.add_place(new);
  end if;
  return null;
end
$$;

create or replace function supaqueue.add_place(job supaqueue.job)
returns void
language plpgsql
set search_path = ''
as $$
begin
  if job.status = 'pending' and job.run_at <= clock_timestamp() then
    insert into supaqueue.ready_job (queue, priority, run_at, position, job)
    values (job.queue, job.priority, job.run_at, job.position, job.id);
  else
    insert into supaqueue.held_job (job, queue, until)
    values (job.id, job.queue, case job.status when 'pending' then job.run_at else 'infinity' end);
  end if;
end
$$;

create or replace trigger place_job_tg
after insert or update or delete on supaqueue.job
for each row
execute function supaqueue.place_job_tg_fn();

create or replace function supaqueue.after_truncate_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  delete from supaqueue.ready_job r where true;
  delete from supaqueue.held_job h where true;
  return null;
end
$$;

create or replace trigger after_truncate_job_tg
after truncate on supaqueue.job
for each statement
execute function supaqueue.after_truncate_job_tg_fn();
$migration$;

--- schema/33_queue_front.sql

execute $migration$
-- The front of a queue: see the table. It is exact because of the queue's lock. Whoever moves it
-- forward holds the lock exclusively, so that no other transaction is between its dispatch and its
-- commit; whoever has made jobs ready holds the lock (shared, at least) from lower_fronts to the
-- commit.

-- Moves the fronts of queues back to the first job that the transaction has made ready.
create or replace function supaqueue.lower_fronts(_queues uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  place text := coalesce(current_setting('supaqueue.first_place', true), '');
  _priority integer := nullif(split_part(place, ' ', 1), '')::integer;
  seconds numeric := nullif(split_part(place, ' ', 2), '')::numeric;
begin
  update supaqueue.queue_front f
  -- Seconds that were rounded up must not hide a job.
  set priority = _priority, run_at = to_timestamp(seconds::double precision) - interval '1 microsecond', position = 0
  where f.queue = any (_queues) and (f.priority, extract(epoch from f.run_at)) >= (_priority, seconds);
end
$$;

-- Moves the front of a queue, whose lock is held exclusively, to the first ready job; if there is
-- none, behind a job that was taken (_taken).
create or replace function supaqueue.move_front(_queue uuid, _taken uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  front supaqueue.queue_front;
  first supaqueue.queue_front;
begin
  select f.* into front from supaqueue.queue_front f where f.queue = _queue;
  select r.queue, r.priority, r.run_at, r.position into first
  from supaqueue.ready_job r
  where r.queue = _queue
    and (r.priority, r.run_at, r.position)
      >= (coalesce(front.priority, -2147483648), coalesce(front.run_at, '-infinity'), coalesce(front.position, 0))
  order by r.priority, r.run_at, r.position
  limit 1;
  if not found then
    select j.queue, j.priority, j.run_at, j.position into first
    from supaqueue.job j
    where j.id = _taken and j.queue = _queue;
  end if;
  if front.queue is null then
    insert into supaqueue.queue_front (queue, priority, run_at, position)
    select first.queue, first.priority, first.run_at, first.position
    where first.queue is not null;
  elsif (first.priority, first.run_at, first.position) > (front.priority, front.run_at, front.position) then
    update supaqueue.queue_front f
    set priority = first.priority, run_at = first.run_at, position = first.position
    where f.queue = _queue;
  end if;
end
$$;

-- Moves the front unless the queue's lock is not to be had.
create or replace function supaqueue.try_move_front(_queue uuid, _taken uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform supaqueue.lock_queues('{}', array[_queue]);
  perform supaqueue.move_front(_queue, _taken);
exception
  when lock_not_available then
    null;
end
$$;

-- Forgets the front of a queue, whose lock is held exclusively, if a ready job is before it: a job that
-- was left to the tick was made ready without lower_fronts.
create or replace function supaqueue.reset_front(_queue uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  delete from supaqueue.queue_front f
  where f.queue = _queue and exists (
    select from supaqueue.ready_job r
    where r.queue = _queue and (r.priority, r.run_at, r.position) < (f.priority, f.run_at, f.position)
  );
end
$$;
$migration$;

--- schema/34_sign.sql

execute $migration$
-- The key in a secret of the form whsec_<base64>, or null where it has
-- another form (Standard Webhooks, "Signature scheme").
create or replace function supaqueue.signing_key(secret text)
returns bytea
language plpgsql
immutable
set search_path = ''
as $$
begin
  if secret !~ '^whsec_[A-Za-z0-9+/]+={0,2}$' then
    return null;
  end if;
  return decode(substring(secret from 7), 'base64');
exception
  when invalid_parameter_value then
    return null;
end
$$;

-- The Standard Webhooks signature of a body: v1,<base64 of the HMAC-SHA256 of "id.timestamp.body">.
create or replace function supaqueue.signature(key bytea, webhook_id text, webhook_timestamp text, body text)
returns text
language sql
immutable
set search_path = ''
as $$
  select 'v1,' || encode(
    extensions.hmac(
      convert_to(webhook_id || '.' || webhook_timestamp || '.' || body, 'UTF8'), key, 'sha256'),
    'base64')
$$;
$migration$;

--- schema/35_dispatch_problem.sql

execute $migration$
-- Why nothing can be sent to the supaqueue function now, or null. Never fails.
create or replace function supaqueue.dispatch_problem(out problem text, out remedy text)
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  secret text;
  url text;
begin
  if to_regprocedure('net.http_post(text,jsonb,jsonb,jsonb,integer)') is null then
    problem := 'the extension pg_net is not installed';
    remedy := 'Run: create extension pg_net with schema extensions;';
    return;
  elsif to_regprocedure('extensions.hmac(bytea,bytea,text)') is null then
    problem := 'the extension pgcrypto is not in the schema extensions';
    remedy := case
      when exists (select from pg_catalog.pg_extension e where e.extname = 'pgcrypto')
      then 'Run: alter extension pgcrypto set schema extensions;'
      else 'Run: create extension pgcrypto with schema extensions;'
    end;
    return;
  elsif to_regclass('vault.decrypted_secrets') is null then
    problem := 'the extension supabase_vault is not installed';
    remedy := 'Run: create extension supabase_vault; and then ' || supaqueue.command('install');
    return;
  end if;

  select
    max(s.decrypted_secret) filter (where s.name = 'supaqueue_secret'),
    max(s.decrypted_secret) filter (where s.name = 'supaqueue_url')
  into secret, url
  from vault.decrypted_secrets s
  where s.name in ('supaqueue_secret', 'supaqueue_url') or s.name = 'supaqueue_anon_key' and s.decrypted_secret is not null;

  if secret is null then
    problem := 'the Vault of this database has no secret named supaqueue_secret';
    remedy := 'Run ' || supaqueue.command('install') || ': it stores one in the Vault and in the function''s environment.';
  elsif supaqueue.signing_key(secret) is null then
    problem := 'the Vault''s supaqueue_secret is not a key of the form whsec_<base64>';
    remedy := 'Run ' || supaqueue.command('rotate-secret') || ', or store the value of SUPAQUEUE_SECRET with vault.update_secret.';
  elsif url is null then
    problem := 'the Vault of this database has no secret named supaqueue_url';
    remedy := 'Run, with the URL of this very project or preview branch: select vault.create_secret(''https://<ref>.supabase.co'', ''supaqueue_url'');';
  elsif url !~ '^https?://[^/?#\s]+/?$' then
    problem := 'the Vault''s supaqueue_url is not a URL of the form https://host';
    remedy := 'Change it with vault.update_secret to the project''s URL, without a path.';
  end if;
exception
  when lock_not_available then
    problem := 'the secrets in the Vault cannot be read: another transaction has locked them';
    remedy := 'Find it: select l.pid, a.query from pg_locks l join pg_stat_activity a using (pid) where l.relation = ''vault.secrets''::regclass;';
  when others then
    problem := 'the secrets in the Vault cannot be read: ' || sqlerrm;
    remedy := 'If they were encrypted with the key of another project (a restore, a branch): run ' || supaqueue.command('install') || ', which replaces them. By hand: delete from vault.secrets where name like ''supaqueue_%'';';
end
$$;
$migration$;

--- schema/36_post.sql

execute $migration$
-- Sends a body to the supaqueue function, signed with the Vault's secret;
-- returns the id of the pg_net request. It leaves when the transaction commits.
--
-- pg_net sends body::text, so that is what is signed. Every role that can run SQL
-- can read pg_net's tables, so no header contains the secret.
create or replace function supaqueue.post(body jsonb)
returns bigint
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  problem record := supaqueue.dispatch_problem();
  secrets jsonb;
  webhook_id text := 'msg_' || replace(supaqueue.new_id()::text, '-', '');
  webhook_timestamp text := floor(extract(epoch from clock_timestamp()))::bigint::text;
begin
  if problem.problem is not null then
    raise exception '%', problem.problem using errcode = 'object_not_in_prerequisite_state', hint = problem.remedy;
  end if;
  select jsonb_object_agg(s.name, s.decrypted_secret) into secrets
  from vault.decrypted_secrets s
  where s.name in ('supaqueue_secret', 'supaqueue_url', 'supaqueue_anon_key');
  return net.http_post(
    url := rtrim(secrets ->> 'supaqueue_url', '/') || '/functions/v1/supaqueue',
    body := body,
    headers := jsonb_strip_nulls(jsonb_build_object(
      'content-type', 'application/json',
      'webhook-id', webhook_id,
      'webhook-timestamp', webhook_timestamp,
      'webhook-signature', supaqueue.signature(
        supaqueue.signing_key(secrets ->> 'supaqueue_secret'), webhook_id, webhook_timestamp, body::text),
      'traceparent', '00-' || encode(extensions.gen_random_bytes(16), 'hex')
        || '-' || encode(extensions.gen_random_bytes(8), 'hex') || '-01',
      'apikey', secrets ->> 'supaqueue_anon_key'
    )),
    timeout_milliseconds := (supaqueue.settings()).dispatch_timeout_ms
  );
end
$$;
$migration$;

--- schema/37_record.sql

execute $migration$
-- A current job with its job and queue, as a run gets them: only what a call needs. Whole rows
-- would make a report a twentieth slower.
create or replace function supaqueue.record_of(_current_job uuid, job_record jsonb, queue supaqueue.queue)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  return jsonb_build_object(
    'current_job', jsonb_build_object('id', _current_job),
    'job', job_record,
    'queue', jsonb_build_object(
      'id', queue.id, 'name', queue.name, 'edge_function_name', queue.edge_function_name, 'path', queue.path, 'auth', queue.auth,
      'default_headers', queue.default_headers, 'timeout_ms', queue.timeout_ms,
      'final_statuses', queue.final_statuses
    )
  );
end
$$;

create or replace function supaqueue.job_record(job supaqueue.job)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  return jsonb_build_object(
    'id', job.id, 'payload', job.payload, 'attempts', job.attempts, 'headers', job.headers, 'path', job.path,
    'timeout_ms', job.timeout_ms);
end
$$;

-- The record of a current job; null if its job or its queue is gone.
create or replace function supaqueue.record(_current_job uuid)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  call supaqueue.current_job;
  job supaqueue.job;
  queue supaqueue.queue;
begin
  select c.* into call from supaqueue.current_job c where c.id = _current_job;
  select j.* into job from supaqueue.job j where j.id = call.job;
  select q.* into queue from supaqueue.queue q where q.id = call.queue;
  if job.id is null or queue.id is null then
    return null;
  end if;
  return supaqueue.record_of(call.id, supaqueue.job_record(job), queue);
end
$$;
$migration$;

--- schema/38_send_current_jobs.sql

execute $migration$
-- Sends current jobs to the supaqueue function, at most jobs_per_request in one request. Without
-- their payloads, which every role could read in pg_net's tables: a run gets them when it
-- acknowledges the calls (see acknowledge). What is sent is enough for a log.
create or replace function supaqueue.send_current_jobs(_current_jobs uuid[])
returns void
language plpgsql
set search_path = ''
as $$
begin
  with record as (
    select
      c.id,
      row_number() over (order by o.number) - 1 as number,
      jsonb_build_object(
        'current_job', jsonb_build_object('id', c.id),
        'job', jsonb_build_object('id', j.id, 'attempts', j.attempts),
        'queue', jsonb_build_object('id', q.id, 'name', q.name)) as record
    from unnest(_current_jobs) with ordinality as o (id, number)
    join supaqueue.current_job c on c.id = o.id
    join supaqueue.job j on j.id = c.job
    join supaqueue.queue q on q.id = c.queue
  ),
  request as materialized (
    select
      array_agg(r.id) as ids,
      supaqueue.post(jsonb_build_object('protocol', 2, 'current_jobs', jsonb_agg(r.record order by r.number))) as request_id
    from record r
    group by r.number / (select s.jobs_per_request from supaqueue.settings() s)
  )
  update supaqueue.current_job c
  set request_id = request.request_id
  from request
  where c.id = any (request.ids);
end
$$;

-- Sends new calls, except those that a run has claimed, or that its report returned.
create or replace function supaqueue.after_insert_current_job_tg_fn()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if exists (select from inserted c where c.run is null) then
    perform supaqueue.send_current_jobs(array(
      select c.id from inserted c where c.run is null order by c.created_at, c.id
    ));
  end if;
  return null;
end
$$;

create or replace trigger after_insert_current_job_tg
after insert on supaqueue.current_job
referencing new table as inserted
for each statement
execute function supaqueue.after_insert_current_job_tg_fn();
$migration$;

--- schema/39_admit_jobs.sql

execute $migration$
-- Moves jobs of a queue whose time has come (after _since) from held_job to ready_job, the ones
-- due first, at most _limit. Returns how many. A job that is locked just now stays for the next time.
create or replace function supaqueue.admit_jobs(_queue uuid, _since timestamptz, _limit integer)
returns integer
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  at timestamptz := clock_timestamp();
  due uuid[];
  jobs uuid[];
begin
  due := array(
    select h.job from supaqueue.held_job h
    where h.queue = _queue and h.until > _since and h.until <= at
    order by h.until
    limit _limit
  );
  if due = '{}' then
    return 0;
  end if;
  jobs := array(
    select j.id from supaqueue.job j where j.id = any (due) for no key update skip locked
  );
  -- Deleted jobs, too, whose row was left behind by a deletion without triggers.
  delete from supaqueue.held_job h
  where h.job = any (jobs) or h.job = any (due) and not exists (select from supaqueue.job j where j.id = h.job);
  insert into supaqueue.ready_job (queue, priority, run_at, position, job)
  select j.queue, j.priority, j.run_at, j.position, j.id
  from supaqueue.job j
  where j.id = any (jobs) and j.status = 'pending'
  on conflict do nothing;
  return cardinality(due);
end
$$;
$migration$;

--- schema/40_fits.sql

execute $migration$
-- What a run has room for, as it says in its pulses ("limits") and reports ("_next"): calls, bytes of
-- payloads, and within_ms, the longest timeout that still fits its isolate. What it does not say is
-- unlimited.

-- What the call of a job takes.
create or replace function supaqueue.needs_of(_job uuid, out status text, out timeout_ms integer, out bytes bigint, out unstarted integer)
language plpgsql
stable
set search_path = ''
as $$
begin
  select j.status, coalesce(j.timeout_ms, q.timeout_ms), supaqueue.bytes_of(j.id, case when pg_column_compression(j.payload) is null then pg_column_size(j.payload) end), j.unstarted
  into status, timeout_ms, bytes, unstarted
  from supaqueue.job j
  join supaqueue.queue q on q.id = j.queue
  where j.id = _job;
end
$$;

-- The size of the payload of a job. One that is stored in a few bytes, and not compressed (null), is not
-- measured exactly: to write it costs more than it matters.
create or replace function supaqueue.bytes_of(_job uuid, stored_bytes integer)
returns integer
language plpgsql
stable
set search_path = ''
as $$
begin
  if stored_bytes < 2000 then
    return stored_bytes;
  end if;
  return (select octet_length(j.payload::text) from supaqueue.job j where j.id = _job);
end
$$;

create or replace function supaqueue.fits(room jsonb, _timeout_ms integer, _bytes bigint)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
begin
  return coalesce(
    coalesce((room ->> 'calls')::numeric, 1) >= 1
    and _timeout_ms <= coalesce((room ->> 'within_ms')::numeric, _timeout_ms)
    and _bytes <= coalesce((room ->> 'bytes')::numeric, _bytes),
    false);
end
$$;

create or replace function supaqueue.room_after(room jsonb, _calls integer, _bytes bigint)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  return room || jsonb_strip_nulls(jsonb_build_object(
    'calls', (room ->> 'calls')::numeric - _calls, 'bytes', (room ->> 'bytes')::numeric - _bytes));
end
$$;

-- What is left of the room of a run that has taken calls.
create or replace function supaqueue.room_left(room jsonb, _calls uuid[])
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  if _calls = '{}' then
    return room;
  end if;
  return supaqueue.room_after(room, cardinality(_calls), (
    select coalesce(sum(n.bytes), 0)
    from supaqueue.current_job c
    cross join lateral supaqueue.needs_of(c.job) n
    where c.id = any (_calls)
  )::bigint);
end
$$;

-- The first of the jobs, as many as there is room for together. A job that was held ready by runs that were
-- lost three times is not held any more: it may be what ends them.
create or replace function supaqueue.jobs_that_fit(_jobs uuid[], room jsonb, to_hold boolean default false)
returns uuid[]
language plpgsql
stable
set search_path = ''
as $$
begin
  return array(
    select f.id
    from (
      select s.id, s.number, bool_and(
        supaqueue.fits(room, s.timeout_ms, s.bytes::bigint) and s.number <= coalesce((room ->> 'calls')::numeric, s.number)
        and not (to_hold and s.unstarted >= 3)
      ) over (order by s.number) as fits
      from (
        select o.id, o.number, n.timeout_ms, n.unstarted, sum(n.bytes) over (order by o.number) as bytes
        from unnest(_jobs) with ordinality as o (id, number)
        cross join lateral supaqueue.needs_of(o.id) n
      ) s
    ) f
    where f.fits
    order by f.number
  );
end
$$;
$migration$;

--- schema/40_next_jobs.sql

execute $migration$
-- Locks the jobs of a queue that are next, at most _limit, and returns their ids. Jobs that
-- have just become due are admitted first. The tick admits those that became due long ago: their
-- rows may be many that vacuum may not remove yet.
--
-- "skip locked" can wait all the same: a row whose new version was just committed is followed to
-- that version, and if that is locked, Postgres waits for it (heap_lock_updated_tuple). The lock
-- may belong to a report that waits for the queue's lock, which our caller may hold. So this gives
-- up (55P03) long before Postgres looks for a deadlock.
create or replace function supaqueue.next_jobs(_queue uuid, _limit integer)
returns uuid[]
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  at timestamptz := clock_timestamp();
  front supaqueue.queue_front;
begin
  if _limit <= 0 then
    return '{}';
  end if;
  if exists (
    select from supaqueue.held_job h
    where h.queue = _queue and h.until > at - interval '10 seconds' and h.until <= at
    limit 1
  ) and supaqueue.admit_jobs(_queue, at - interval '10 seconds', 100) > 0 then
    perform supaqueue.lower_fronts(array[_queue]);
  end if;
  select f.* into front from supaqueue.queue_front f where f.queue = _queue;
  if not found then
    front := row(_queue, -2147483648, '-infinity', 0);
  end if;
  return array(
    select j.id
    from supaqueue.ready_job r
    -- Not a join: with stale statistics, that would begin with the jobs, of which there may be millions.
    cross join lateral (
      select l.id from supaqueue.job l
      where l.id = r.job and l.status = 'pending'
        -- A job that was changed without triggers is elsewhere.
        and l.queue = r.queue and l.priority = r.priority and l.run_at = r.run_at
      for no key update skip locked
    ) j
    where r.queue = _queue and (r.priority, r.run_at, r.position) >= (front.priority, front.run_at, front.position)
    order by r.priority, r.run_at, r.position
    limit _limit
  );
end
$$;

-- Whether there is a next job of a queue.
create or replace function supaqueue.has_next_job(_queue uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
  front supaqueue.queue_front;
begin
  select f.* into front from supaqueue.queue_front f where f.queue = _queue;
  return exists (
    select from supaqueue.held_job h
    where h.queue = _queue and h.until > at - interval '10 seconds' and h.until <= at
    limit 1
  ) or exists (
    select from supaqueue.ready_job r
    where r.queue = _queue
      and (r.priority, r.run_at, r.position)
        >= (coalesce(front.priority, -2147483648), coalesce(front.run_at, '-infinity'), coalesce(front.position, 0))
    limit 1
  );
end
$$;
$migration$;

--- schema/41_adopt_calls.sql

execute $migration$
-- Lets free workers take over the calls of a queue whose workers were deleted, or moved to another
-- queue. Returns whether a call is left without a worker. Call it with the queue's lock held
-- exclusively.
--
-- Such a call ends normally and is not followed by another. Until then it counts: otherwise,
-- deleting and adding workers would let more calls run than there are workers. A call that is
-- locked just now is adopted next time.
create or replace function supaqueue.adopt_calls(_queue uuid)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  left_worker uuid;
  calls uuid[];
  adopted uuid[];
  _worker uuid;
begin
  for left_worker in
    select d.worker from supaqueue.deleted_worker d where d.queue = _queue order by d.worker for update skip locked
  loop
    select w.id into _worker
    from supaqueue.worker w
    where w.queue = _queue and not w.locked
    order by w.id
    limit 1
    for no key update skip locked;
    exit when not found;

    calls := array(select c.id from supaqueue.current_job c where c.queue = _queue and c.worker = left_worker);
    if calls <> '{}' then
      adopted := array(select c.id from supaqueue.current_job c where c.id = any (calls) for no key update skip locked);
      -- All of them or none: its run may hold one ready behind the other.
      continue when cardinality(adopted) < cardinality(calls);
      update supaqueue.current_job c set worker = _worker where c.id = any (adopted);
      update supaqueue.worker w set locked = true where w.id = _worker;
    end if;
    delete from supaqueue.deleted_worker d where d.queue = _queue and d.worker = left_worker;
  end loop;
  return exists (
    select from supaqueue.deleted_worker d
    join supaqueue.current_job c on c.queue = d.queue and c.worker = d.worker
    where d.queue = _queue
  );
end
$$;
$migration$;

--- schema/42_take_jobs.sql

execute $migration$
-- Sets a job, which is locked (lock_job), to in_progress, and returns its record.
--
-- Users' triggers run within this: they find what they expect in the search path, and none of our
-- planner settings (see plan_settings).
create or replace function supaqueue.take_job(place refcursor)
returns jsonb
language plpgsql
set search_path = public, extensions
as $$
declare
  job_record jsonb;
begin
  update supaqueue.job j
  set status = 'in_progress', attempts = j.attempts + 1, started_at = clock_timestamp()
  where current of place
  returning supaqueue.job_record(j) into job_record;
  if not found then
    perform supaqueue.refuse_skipped_update();
  end if;
  close place;
  return job_record;
end
$$;

-- The same for jobs that are locked; returns their records in the same order. It is planned each time, as in
-- settle_successes.
create or replace function supaqueue.take_together(_jobs uuid[])
returns jsonb[]
language plpgsql
set search_path = public, extensions
as $$
declare
  records jsonb[];
begin
  if _jobs = '{}' then
    return '{}';
  end if;
  execute $sql$
    with taken as (
      update supaqueue.job j
      set status = 'in_progress', attempts = j.attempts + 1, started_at = clock_timestamp()
      from unnest($1) with ordinality as o (id, number)
      where j.id = o.id
      returning o.number, supaqueue.job_record(j) as record
    )
    select array_agg(t.record order by t.number) from taken t
  $sql$ into records using _jobs;
  if cardinality(records) is distinct from cardinality(_jobs) then
    perform supaqueue.refuse_skipped_update();
  end if;
  return records;
end
$$;

-- Takes jobs, and returns those that could be taken. One that cannot be started, because a trigger of
-- the user's raises for example, does not keep others from starting: it is put aside for a while.
create or replace function supaqueue.take_jobs(_jobs uuid[])
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  _job uuid;
  job supaqueue.job;
  jobs uuid[] := '{}';
begin
  begin
    perform supaqueue.take_job((supaqueue.lock_job(j.id)).place) from unnest(_jobs) as j (id);
    return _jobs;
  exception
    when others then
      null;
  end;

  foreach _job in array _jobs loop
    begin
      perform supaqueue.take_job((supaqueue.lock_job(_job)).place);
      jobs := jobs || _job;
    exception
      when others then
        select j.* into job from supaqueue.job j where j.id = _job;
        perform supaqueue.note_unfinished('start', job.queue, job.id, sqlstate, sqlerrm);
        delete from supaqueue.ready_job r
        where r.queue = job.queue and r.priority = job.priority and r.run_at = job.run_at and r.position = job.position;
        insert into supaqueue.held_job (job, queue, until)
        select job.id, job.queue, greatest(max(u.retry_at), clock_timestamp() + interval '5 seconds')
        from supaqueue.unfinished u
        where u.job = job.id and u.step = 'start';
    end;
  end loop;
  return jobs;
end
$$;
$migration$;

--- schema/43_start_jobs.sql

execute $migration$
-- Starts the next jobs of queues on their free workers: worker locked, job in_progress with one more
-- attempt, a current_job for both. All calls are inserted, and thus sent, at once, or belong to a run
-- (_run, in its pulse _number), which has room for that many. Returns their ids.
--
-- Call it with the queues' locks held, those of _exclusive exclusively.
create or replace function supaqueue.start_jobs(
  _queues uuid[], _exclusive uuid[], _run uuid default null, _number integer default null, room jsonb default '{}'
)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  _queue uuid;
  next_jobs uuid[];
  free_workers uuid[];
  taken uuid[];
  queues uuid[] := '{}';
  workers uuid[] := '{}';
  jobs uuid[] := '{}';
  calls uuid[];
begin
  for _queue in select distinct unnest(_queues) order by 1 loop
    continue when exists (select from supaqueue.deleted_worker d where d.queue = _queue)
      and (_queue <> all (_exclusive) or supaqueue.adopt_calls(_queue));
    -- Again where jobs were put aside: others may take their place.
    for attempt in 1 .. 10 loop
      next_jobs := supaqueue.next_jobs(_queue, least(
        supaqueue.free_workers(_queue), (room ->> 'calls')::integer - cardinality(jobs)));
      if _run is not null then
        next_jobs := (supaqueue.jobs_that_fit(jobs || next_jobs, room))[cardinality(jobs) + 1:];
      end if;
      exit when next_jobs = '{}';
      free_workers := supaqueue.lock_workers(_queue, cardinality(next_jobs));
      next_jobs := next_jobs[1:cardinality(free_workers)];
      taken := supaqueue.take_jobs(next_jobs);
      free_workers := free_workers[1:cardinality(taken)];
      perform supaqueue.set_locked(free_workers, true);
      queues := queues || array_fill(_queue, array[cardinality(taken)]);
      workers := workers || free_workers;
      jobs := jobs || taken;
      exit when cardinality(taken) = cardinality(next_jobs);
    end loop;
  end loop;
  if jobs = '{}' then
    return '{}';
  end if;
  with added as (
    insert into supaqueue.current_job (queue, worker, job, state, run, claimed_in, lease_until)
    select
      call.queue, call.worker, call.job, case when _run is null then 'sent' else 'started' end, _run, _number,
      case when _run is null then clock_timestamp() + supaqueue.ms(s.dispatch_lease_ms) end
    from unnest(queues, workers, jobs) with ordinality as call (queue, worker, job, number)
    cross join supaqueue.settings() s
    order by call.number
    returning id, created_at
  )
  select array_agg(a.id order by a.created_at, a.id) into calls from added a;
  return calls;
end
$$;

-- The same as start_jobs, but never fails: the jobs stay ready, and the reason is noted, for problem and
-- the tick.
create or replace function supaqueue.try_start_jobs(_queues uuid[], _exclusive uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  remedy text;
begin
  perform supaqueue.start_jobs(_queues, _exclusive);
  perform supaqueue.note_start(_queues);
exception
  when others then
    get stacked diagnostics remedy = pg_exception_hint;
    raise warning 'supaqueue could not start jobs: %', sqlerrm
      using hint = ltrim(remedy || ' They stay pending and are started later.'), errcode = sqlstate;
    perform supaqueue.note_unfinished('start', d.queue, null, sqlstate, sqlerrm) from unnest(_queues) as d (queue);
end
$$;

-- Takes what was noted about queues in which jobs start again out of problem. The tick still looks at
-- them, and deletes the notes.
create or replace function supaqueue.note_start(_queues uuid[])
returns void
language plpgsql
set search_path = ''
as $$
begin
  if exists (
    select from supaqueue.unfinished u
    where u.queue = any (_queues) and u.step = 'start' and u.job is null and u.message is not null
  ) and current_setting('transaction_isolation') = 'read committed' then
    update supaqueue.unfinished u
    set message = null, retry_at = clock_timestamp()
    where u.id = any (array(
      select n.id from supaqueue.unfinished n
      where n.queue = any (_queues) and n.step = 'start' and n.job is null
      for update skip locked
    ));
  end if;
end
$$;

-- How many workers of a queue are free; 0 while the queue is paused.
create or replace function supaqueue.free_workers(_queue uuid)
returns integer
language plpgsql
set search_path = ''
as $$
begin
  return (
    select count(*)
    from supaqueue.worker w
    where w.queue = _queue and not w.locked
      and not (select q.is_paused from supaqueue.queue q where q.id = _queue)
  );
end
$$;

-- "skip locked" can wait: see next_jobs.
create or replace function supaqueue.lock_workers(_queue uuid, _limit integer)
returns uuid[]
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
begin
  return array(
    select w.id from supaqueue.worker w
    where w.queue = _queue and not w.locked
    order by w.id
    limit _limit
    for no key update skip locked
  );
end
$$;

-- Locks or unlocks workers, except those that somebody else is deleting or moving just now. If that is rolled
-- back, the tick unlocks them.
create or replace function supaqueue.set_locked(_workers uuid[], _locked boolean)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update supaqueue.worker w
  set locked = _locked
  from (
    select l.id from supaqueue.worker l where l.id = any (_workers) for no key update skip locked
  ) l
  where w.id = l.id;
end
$$;
$migration$;

--- schema/44_dispatch.sql

execute $migration$
-- Locks queues before jobs are started in them, and returns those that are locked exclusively: those
-- of _exclusive, all if a worker became usable, and any with calls that a free worker must take over.
create or replace function supaqueue.lock_to_start(_queues uuid[], _exclusive uuid[], has_usable_workers boolean)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  exclusive uuid[] := case
    when has_usable_workers then _queues
    else _exclusive || array(select distinct d.queue from supaqueue.deleted_worker d where d.queue = any (_queues))
  end;
begin
  perform supaqueue.lock_queues(_queues, exclusive);
  perform supaqueue.lower_fronts(_queues);
  return exclusive;
end
$$;

-- Starts what can be started in queues that a transaction woke, at its end. Never fails and never
-- waits for long: what cannot be done now is left to the tick.
--
-- A repeatable read transaction does what it can with what it sees. A serializable one leaves its
-- queues to the tick: to read their state would make users' transactions fail (40001).
create or replace function supaqueue.dispatch(_queues uuid[], has_usable_workers boolean default false)
returns void
language plpgsql
set search_path = ''
as $$
begin
  if current_setting('transaction_isolation') = 'serializable' then
    perform supaqueue.note_unfinished('start', d.queue, null, null, null) from unnest(_queues) as d (queue);
    return;
  end if;
  perform supaqueue.try_start_jobs(_queues, supaqueue.lock_to_start(_queues, '{}', has_usable_workers));
exception
  when others then
    perform supaqueue.note_unfinished('start', d.queue, null, sqlstate, sqlerrm) from unnest(_queues) as d (queue);
end
$$;

create or replace function supaqueue.dispatch_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform supaqueue.dispatch(w.queues, w.has_usable_workers) from supaqueue.take_wake_ups() w where w.queues <> '{}';
  return null;
end
$$;
$migration$;

--- schema/45_wake_up_triggers.sql

execute $migration$
-- What makes something startable wakes its queue, and a deferred trigger dispatches it (see wake_up).

drop trigger if exists dispatch_tg on supaqueue.ready_job;
create constraint trigger dispatch_tg
after insert on supaqueue.ready_job
deferrable initially deferred
for each row when (supaqueue.wake_up(new.queue, new.priority, new.run_at))
execute function supaqueue.dispatch_tg_fn();

-- For workers and queues, in two steps: the condition of a trigger is evaluated as the user, who
-- may not execute wake_up.
create or replace function supaqueue.wake_up_worker_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op <> 'INSERT' and old.locked then
    -- A free worker takes over the call that this one leaves behind.
    insert into supaqueue.deleted_worker (queue, worker) values (old.queue, old.id) on conflict do nothing;
    perform supaqueue.wake_up(old.queue, null, null);
  end if;
  if tg_op <> 'DELETE' then
    perform supaqueue.wake_up(new.queue, null, null);
  end if;
  return null;
end
$$;

create or replace trigger wake_up_tg
after insert or delete or update of queue on supaqueue.worker
for each row
execute function supaqueue.wake_up_worker_tg_fn();

drop trigger if exists dispatch_tg on supaqueue.worker;
create constraint trigger dispatch_tg
after insert or delete or update of queue on supaqueue.worker
deferrable initially deferred
for each row
execute function supaqueue.dispatch_tg_fn();

create or replace function supaqueue.wake_up_queue_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform supaqueue.wake_up(new.id, null, null);
  return null;
end
$$;

create or replace trigger wake_up_tg
after update on supaqueue.queue
for each row when (old.is_paused and not new.is_paused)
execute function supaqueue.wake_up_queue_tg_fn();

drop trigger if exists dispatch_tg on supaqueue.queue;
create constraint trigger dispatch_tg
after update on supaqueue.queue
deferrable initially deferred
for each row when (old.is_paused and not new.is_paused)
execute function supaqueue.dispatch_tg_fn();
$migration$;

--- schema/46_backoff_ms.sql

execute $migration$
-- The wait before the next attempt: random between 0 and a bound that starts at
-- base and doubles with each attempt up to max ("full jitter"). In milliseconds.
create or replace function supaqueue.backoff_ms(attempts integer, base_ms integer, max_ms integer)
returns double precision
language plpgsql
volatile
set search_path = ''
as $$
begin
  return random() * least(max_ms, base_ms * power(2, least(greatest(attempts, 1) - 1, 40)));
end
$$;
$migration$;

--- schema/47_settle_job.sql

execute $migration$
-- Locks a job, and returns a cursor on it (null if it is gone) and what a call of it depends on. An update "where
-- current of" it never searches, whatever its plan was made for, and so needs no settings that users'
-- triggers would see.
create or replace function supaqueue.lock_job(_job uuid, out place refcursor, out status text, out timeout_ms integer, out stored_bytes integer, out unstarted integer)
language plpgsql
set search_path = ''
as $$
begin
  open place for
    select j.status, j.timeout_ms, case when pg_column_compression(j.payload) is null then pg_column_size(j.payload) end, j.unstarted
    from supaqueue.job j where j.id = _job for no key update;
  fetch next from place into status, timeout_ms, stored_bytes, unstarted;
  if not found then
    close place;
    place := null;
  end if;
end
$$;

-- Settles the job of a call that ended: successful, pending again for a retry, or failed. A job
-- that is not in progress any more (cancelled, settled by hand) stays as it is.
--
-- _report: http_status, duration_ms, result, error {message, body}, retry_after_ms, is_final,
-- is_attempt, problem. See public.end_current_job. Of our own: is_due, there is no wait; is_unstarted, see the
-- column unstarted. It comes from outside, and nothing in it may keep the job from being settled: values that are not
-- numbers, or that the column cannot hold, are ignored.
create or replace function supaqueue.settle_job(_job uuid, _is_successful boolean, _report jsonb)
returns void
language plpgsql
set search_path = public, extensions
as $$
declare
  locked record := supaqueue.lock_job(_job);
  place refcursor := locked.place;
  job record;
  _status text;
  _http_status integer := jsonb_path_query_first(_report, '$.http_status ? (@ >= 0 && @ <= 2147483647)')::integer;
  _duration_ms integer := jsonb_path_query_first(_report, '$.duration_ms ? (@ >= 0 && @ <= 2147483647)')::integer;
  _retry_after_ms numeric := coalesce(jsonb_path_query_first(_report, '$.retry_after_ms ? (@ >= 0)')::numeric, 0);
  is_given_back boolean;
  has_problem boolean;
begin
  if place is null then
    return;
  elsif locked.status <> 'in_progress' then
    close place;
    return;
  elsif _is_successful then
    update supaqueue.job j
    set status = 'successful', http_status = _http_status, duration_ms = _duration_ms, result = _report -> 'result'
    where current of place;
    if not found then
      perform supaqueue.refuse_skipped_update();
    end if;
    close place;
    return;
  end if;

  job := supaqueue.limits_of(_job);
  is_given_back := coalesce(_report -> 'is_attempt' = 'false', false);
  has_problem := is_given_back and _report ->> 'problem' is not null;
  _status := case
    when is_given_back then 'pending'
    when _report -> 'is_final' = 'true' or _http_status = any (job.final_statuses) then 'failed'
    when job.attempts >= job.max_attempts then 'failed'
    else 'pending'
  end;
  if _status = 'pending' and supaqueue.has_call(_job) then
    raise exception 'the run that makes its call has not let go of it yet' using errcode = 'lock_not_available';
  elsif has_problem then
    _retry_after_ms := supaqueue.note_problem(_job, job.queue, _report ->> 'problem');
  elsif not is_given_back then
    perform supaqueue.note_done('call', job.queue, _job);
  end if;
  update supaqueue.job j
  set status = _status,
    attempts = case when is_given_back then greatest(j.attempts - 1, 0) else j.attempts end,
    unstarted = case when _report -> 'is_unstarted' = 'true' then j.unstarted + 1 else j.unstarted end,
    run_at = case
      when _status <> 'pending' then j.run_at
      when _report -> 'is_due' = 'true' then case when is_given_back then j.run_at else clock_timestamp() end
      when has_problem then clock_timestamp() + supaqueue.ms(_retry_after_ms)
      else clock_timestamp() + supaqueue.ms(greatest(
        supaqueue.backoff_ms(job.attempts, job.backoff_base_ms, job.backoff_max_ms),
        least(_retry_after_ms, (supaqueue.settings()).max_retry_after_ms)))
    end,
    http_status = coalesce(_http_status, j.http_status),
    duration_ms = coalesce(_duration_ms, j.duration_ms),
    errors = case
      when has_problem or is_given_back and _report -> 'error' is null then j.errors
      else supaqueue.add_error(
        j.errors, job.attempts, coalesce(_report #>> '{error,message}', 'the call was reported as failed, without a reason'),
        _http_status, _report #> '{error,body}')
    end
  where current of place;
  if not found then
    perform supaqueue.refuse_skipped_update();
  end if;
  close place;
end
$$;

-- Notes why the target of a job cannot be called as things are, and returns the pause until it is tried
-- again, in milliseconds. The note goes when the target was called.
create or replace function supaqueue.note_problem(_job uuid, _queue uuid, _problem text)
returns double precision
language plpgsql
set search_path = ''
as $$
begin
  perform supaqueue.note_unfinished('call', _queue, _job, 'SQ100', _problem);
  return (
    select greatest(extract(epoch from max(u.retry_at) - clock_timestamp()) * 1000, 1000)
    from supaqueue.unfinished u
    where u.job = _job and u.step = 'call'
  );
end
$$;

-- A trigger that returns null skips an update in silence, and would leave a job without its call.
create or replace function supaqueue.refuse_skipped_update()
returns void
language plpgsql
set search_path = ''
as $$
begin
  raise exception 'a trigger on supaqueue.job skipped the update (its function returned null)';
end
$$;

create or replace function supaqueue.limits_of(
  _job uuid, out queue uuid, out attempts integer, out max_attempts integer,
  out final_statuses integer[], out backoff_base_ms integer, out backoff_max_ms integer
)
language plpgsql
set search_path = ''
as $$
begin
  select j.queue, j.attempts, coalesce(j.max_attempts, q.max_attempts), q.final_statuses, q.backoff_base_ms, q.backoff_max_ms
  into queue, attempts, max_attempts, final_statuses, backoff_base_ms, backoff_max_ms
  from supaqueue.job j
  join supaqueue.queue q on q.id = j.queue
  where j.id = _job;
end
$$;

-- Settles a job; if that fails, notes what was reported, so that the tick settles it later. An error
-- that may pass by itself is raised if the caller can be repeated.
create or replace function supaqueue.settle_or_note(
  _job uuid, _queue uuid, _is_successful boolean, _report jsonb, can_be_repeated boolean default false
)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform supaqueue.settle_job(_job, _is_successful, _report);
exception
  when others then
    if can_be_repeated and sqlstate ~ '^(40|53|55|57|58)' then
      raise;
    end if;
    perform supaqueue.note_unfinished('settle', _queue, _job, sqlstate, sqlerrm,
      jsonb_build_object('is_successful', _is_successful, 'report', _report));
end
$$;
$migration$;

--- schema/48_request_outcome.sql

execute $migration$
-- What pg_net knows about a request that was made at _sent_at: why a job was not acknowledged.
--
-- pg_net's answers have an index on the time only, and may be millions.
create or replace function supaqueue.request_outcome(_request bigint, _sent_at timestamptz)
returns text
language plpgsql
stable
set search_path = ''
set lock_timeout = '20ms'
as $$
declare
  response record;
begin
  select r.status_code, r.timed_out, r.error_msg, left(r.content, 200) as content
  into response
  from net._http_response r
  where r.id = _request and r.created between _sent_at - interval '1 second' and _sent_at + interval '2 minutes';
  return case
    -- The queue has no index either. Its first requests are the oldest.
    when not found and exists (
      select from (select w.id from net.http_request_queue w limit 10000) w where w.id = _request
    ) then 'pg_net has not sent it'
    when not found then 'pg_net has no answer to it'
    when response.timed_out then 'it was not answered in time'
    when response.status_code is not null then
      'it was answered with ' || response.status_code || coalesce(': ' || response.content, '')
    else 'it could not be sent: ' || coalesce(response.error_msg, 'pg_net gave no reason')
  end;
exception
  when others then
    return 'pg_net''s answer cannot be read: ' || sqlerrm;
end
$$;
$migration$;

--- schema/49_again_in_ms.sql

execute $migration$
-- In how many milliseconds a run that waits for work of a queue should ask again; null: it should not
-- wait. idle_ms: since the run had a call of the queue. _since: jobs that were due by then were claimed
-- or could not be.
--
-- While all workers are busy, their own reports take the next jobs. The time of the next held job,
-- or of a schedule, is exact; beside it, new jobs are looked for, with pauses that grow until linger_ms.
create or replace function supaqueue.again_in_ms(_queue uuid, idle_ms numeric, _since timestamptz)
returns integer
language plpgsql
set search_path = ''
as $$
declare
  setting supaqueue.setting := supaqueue.settings();
  due_in_ms numeric;
begin
  if setting.linger_ms = 0
    or (select q.is_paused from supaqueue.queue q where q.id = _queue) is not false
    or supaqueue.free_workers(_queue) = 0
      and not exists (select from supaqueue.current_job c where c.queue = _queue and c.run is null)
  then
    return null;
  end if;
  due_in_ms := (
    select ceil(extract(epoch from least(
      (select h.until from supaqueue.held_job h
        where h.queue = _queue and h.until > _since and h.until < _since + interval '2 minutes'
        order by h.until
        limit 1),
      (select s.next_at from supaqueue.schedule s
        where s.queue = _queue and s.next_at > _since and s.next_at < _since + interval '2 minutes'
        order by s.next_at
        limit 1)
    ) - clock_timestamp()) * 1000)
  );
  if coalesce(idle_ms, 0) > setting.linger_ms then
    return case when due_in_ms <= setting.linger_ms then greatest(due_in_ms, 1) end;
  end if;
  return greatest(least(due_in_ms, greatest(setting.poll_ms, floor(coalesce(idle_ms, 0) / 4))), 1);
end
$$;
$migration$;

--- schema/50_recover.sql

execute $migration$
-- Marks the runs over whose lease has ended, and deletes them later. Not before the server has been
-- up for a lease: until then, the pulses of those that live may not have come through.
create or replace function supaqueue.end_runs()
returns void
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
begin
  if pg_postmaster_start_time() < at - supaqueue.ms((supaqueue.settings()).run_lease_ms) then
    update supaqueue.run r set is_over = true
    where r.id = any (array(
      select o.id from supaqueue.run o where not o.is_over and o.lease_until < at for no key update skip locked
    ));
  end if;
  delete from supaqueue.run r
  where r.id = any (array(
    select o.id from supaqueue.run o
    where o.is_over and o.lease_until < at - interval '10 minutes'
      and not exists (select from supaqueue.current_job c where c.run = o.id)
    for update skip locked
  ));
end
$$;

-- Whether a run has not ended. Reports do not lock its row, and need not: the next tick takes back the
-- calls of a run that is over.
create or replace function supaqueue.is_alive(_run uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (select from supaqueue.run r where r.id = _run and not r.is_over);
end
$$;

-- The calls of a queue that are lost: sent and not acknowledged within their lease, or
-- of a run that is over.
create or replace function supaqueue.lost_calls(_queue uuid, _limit integer)
returns uuid[]
language sql
stable
set search_path = ''
as $$
  select array(
    select c.id from supaqueue.current_job c
    where c.queue = _queue
      and (c.lease_until < clock_timestamp() or c.run is not null and c.run not in (select r.id from supaqueue.run r where not r.is_over))
    order by c.id
    limit _limit
  )
$$;

-- Takes back the calls of a queue that are lost, at most 100; returns whether there may be more.
-- Sent ones are sent again under a new id, a bounded number of times, and then go back to pending
-- with the reason, without an attempt spent, as those do that were held ready; started ones are
-- lost attempts. Each call fails alone.
-- Call it with the queue's lock held exclusively.
create or replace function supaqueue.recover(_queue uuid)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  calls uuid[] := supaqueue.lost_calls(_queue, 100);
  _call uuid;
  call supaqueue.current_job;
  freed uuid[] := '{}';
  to_send uuid[] := '{}';
  workers uuid[];
  problem text := (select p.problem from supaqueue.dispatch_problem() p);
begin
  foreach _call in array calls loop
    -- It may have been acknowledged, or sent again, since it was looked for.
    select c.* into call from supaqueue.current_job c where c.id = _call for update skip locked;
    continue when not found or not coalesce(call.lease_until < clock_timestamp(), not supaqueue.is_alive(call.run));
    begin
      to_send := to_send || supaqueue.take_back(call, problem);
      perform supaqueue.note_done('take back', _queue, call.job);
      freed := freed || call.worker;
    exception
      when others then
        perform supaqueue.note_unfinished('take back', _queue, call.job, sqlstate, sqlerrm);
    end;
  end loop;
  perform supaqueue.send_current_jobs(to_send) where to_send <> '{}';

  -- When all calls of a worker are taken back: a run may have had two.
  workers := array(
    select w.id from supaqueue.worker w
    where w.queue = _queue and w.locked
      and not exists (select from supaqueue.current_job c where c.queue = _queue and c.worker = w.id)
  );
  if workers <> '{}' then
    perform supaqueue.set_locked(workers, false);
    -- Somebody has deleted the call.
    update supaqueue.last_tick t set is_check_urgent = true, checked_until = null
    where t.is_only_row and not workers <@ freed;
  end if;
  return cardinality(calls) = 100;
end
$$;

-- Locks a job, unless it is gone or somebody is changing it just now; returns whether that is so.
create or replace function supaqueue.is_being_changed(_job uuid)
returns boolean
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
begin
  perform from supaqueue.job j where j.id = _job for no key update skip locked;
  return not found and exists (select from supaqueue.job j where j.id = _job);
end
$$;

-- Takes back one call. Returns its new id if it is to be sent again, in an array. A job that somebody is
-- changing just now is left to the next time.
create or replace function supaqueue.take_back(call supaqueue.current_job, problem text)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  setting supaqueue.setting := supaqueue.settings();
  _status text;
begin
  if supaqueue.is_being_changed(call.job) then
    return '{}';
  end if;
  select j.status into _status from supaqueue.job j where j.id = call.job;

  if call.state = 'sent' and _status = 'in_progress' and call.dispatches < setting.max_dispatches and problem is null then
    update supaqueue.current_job c
    set id = supaqueue.new_id(), dispatches = c.dispatches + 1, created_at = clock_timestamp(),
      lease_until = clock_timestamp() + supaqueue.ms(setting.dispatch_lease_ms * (c.dispatches + 1.0))
    where c.id = call.id
    returning c.id into call.id;
    return array[call.id];
  end if;

  perform supaqueue.end_call(call.id);
  if call.is_complete then
    -- Settled by hand already.
    return '{}';
  end if;
  perform supaqueue.settle_or_note(call.job, call.queue, false, case
    when call.state = 'sent' then jsonb_build_object(
      'is_attempt', false,
      'retry_after_ms', setting.dispatch_lease_ms,
      'error', jsonb_build_object('message', format(
        'not acknowledged by the supaqueue function, sent %s times; the last request: %s',
        call.dispatches, coalesce(problem, supaqueue.request_outcome(call.request_id, call.created_at)))))
    when call.state = 'held' then '{"is_attempt": false, "is_due": true, "is_unstarted": true}'
    else '{"is_due": true, "error": {"message": "lost: the run that made the call ended before it reported"}}'
  end);
  return '{}';
end
$$;
$migration$;

--- schema/51_settle_again.sql

execute $migration$
-- Settles the jobs of a queue (or one of them) that could not be settled when their calls ended, or
-- before, by hand.
create or replace function supaqueue.settle_again(_queue uuid, _job uuid default null)
returns void
language plpgsql
set search_path = ''
as $$
declare
  item supaqueue.unfinished;
  call supaqueue.current_job;
begin
  for item in
    select u.* from supaqueue.unfinished u
    where u.queue = _queue and u.step = 'settle' and u.job = coalesce(_job, u.job) and u.retry_at <= clock_timestamp()
    order by u.id
    limit 100
    for update skip locked
  loop
    begin
      call := supaqueue.call_of(item.job);
      continue when call.is_complete or supaqueue.is_being_changed(item.job);
      if call.id is null then
        perform supaqueue.settle_job(item.job, (item.outcome ->> 'is_successful')::boolean, item.outcome -> 'report');
      end if;
      delete from supaqueue.unfinished u where u.id = item.id;
    exception
      when others then
        perform supaqueue.note_unfinished('settle', _queue, item.job, sqlstate, sqlerrm);
    end;
  end loop;
end
$$;

create or replace function supaqueue.call_of(_job uuid)
returns supaqueue.current_job
language plpgsql
stable
set search_path = ''
as $$
declare
  call supaqueue.current_job;
begin
  select c.* into call from supaqueue.current_job c where c.job = _job;
  return call;
end
$$;
$migration$;

--- schema/52_check_places.sql

execute $migration$
-- Walks through all jobs, some at each tick, and repairs what does not fit: jobs that were loaded
-- without triggers, or whose current_job somebody deleted. After the server was started, and when
-- somebody deleted a call, in larger steps.
create or replace function supaqueue.check_places()
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  last supaqueue.last_tick := (select t from supaqueue.last_tick t);
  size integer := case when last.is_check_urgent then 20000 else 200 end;
  jobs uuid[] := supaqueue.jobs_after(coalesce(last.checked_until, '00000000-0000-0000-0000-000000000000'), size);
  _job uuid;
  job supaqueue.job;
begin
  foreach _job in array supaqueue.misplaced_jobs(jobs) loop
    select j.* into job from supaqueue.job j where j.id = _job for no key update skip locked;
    continue when not found or supaqueue.misplaced_jobs(array[_job]) = '{}';
    if job.status = 'in_progress' then
      perform supaqueue.settle_or_note(job.id, job.queue, false,
        '{"error": {"message": "lost: the job was in progress without a current job"}}');
    else
      perform supaqueue.add_place(job);
    end if;
  end loop;
  update supaqueue.last_tick t
  set checked_until = case when cardinality(jobs) = size then jobs[size] end,
    is_check_urgent = t.is_check_urgent and cardinality(jobs) = size
  where t.is_only_row;

  delete from supaqueue.deleted_worker d where not exists (
    select from supaqueue.current_job c where c.queue = d.queue and c.worker = d.worker
  );
  delete from supaqueue.unfinished u
  where u.queue is not null
      and not exists (select from supaqueue.queue q where q.id = u.queue)
      and not exists (select from supaqueue.schedule s where s.id = u.queue)
      and not exists (select from supaqueue.operation o where o.id = u.queue and o.status = 'running')
    -- The job of on_end can be inserted without the ended one.
    or u.job is not null and u.step <> 'on end' and not exists (
      select from supaqueue.job j
      where j.id = u.job and case u.step
        when 'start' then j.status = 'pending'
        when 'call' then j.finished_at is null
        when 'delete' then j.finished_at is not null
        when 'release' then j.key_held_until is not null
        else j.status = 'in_progress'
      end
    );
  return last.is_check_urgent and cardinality(jobs) = size;
end
$$;

create or replace function supaqueue.jobs_after(_job uuid, _limit integer)
returns uuid[]
language plpgsql
stable
set search_path = ''
as $$
begin
  return array(select j.id from supaqueue.job j where j.id > _job order by j.id limit _limit);
end
$$;

-- Those of the jobs that should have a row in ready_job, held_job or current_job, and have none.
-- "count(*)" keeps each look-up one of a single row.
create or replace function supaqueue.misplaced_jobs(_jobs uuid[])
returns uuid[]
language plpgsql
stable
set search_path = ''
as $$
begin
  return array(
    select j.id
    from supaqueue.job j
    where j.id = any (_jobs)
      and case j.status
        when 'in_progress' then
          (select count(*) from supaqueue.current_job c where c.job = j.id) = 0
          and (select count(*) from supaqueue.unfinished u where u.job = j.id and u.step = 'settle') = 0
        when 'pending' then
          (select count(*) from supaqueue.ready_job r
            where r.queue = j.queue and r.priority = j.priority and r.run_at = j.run_at and r.position = j.position) = 0
          and (select count(*) from supaqueue.held_job h where h.job = j.id) = 0
        when 'waiting' then
          (select count(*) from supaqueue.held_job h where h.job = j.id) = 0
        else false
      end
  );
end
$$;

-- The rows among the first ready ones of a queue whose job is not pending there.
create or replace function supaqueue.stale_places(_queue uuid)
returns tid[]
language plpgsql
stable
set search_path = ''
as $$
begin
  return array(
    select r.place
    from (
      select f.ctid as place, f.* from supaqueue.ready_job f
      where f.queue = _queue
      order by f.priority, f.run_at, f.position
      limit 100
    ) r
    where (
      select count(*) from supaqueue.job j
      where j.id = r.job and j.status = 'pending' and (j.queue, j.priority, j.run_at) = (r.queue, r.priority, r.run_at)
    ) = 0
  );
end
$$;
$migration$;

--- schema/52_count_ended_jobs.sql

execute $migration$
-- The upper bounds of the histograms in minute, in milliseconds. A histogram has one more number, of what
-- is above.
create or replace function supaqueue.histogram_bounds()
returns integer[]
language sql
immutable
parallel safe
set search_path = ''
as $$
  select array[10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 150000]
$$;
comment on function supaqueue.histogram_bounds is 'The upper bounds of the histograms of supaqueue.minute and supaqueue.chart(), in milliseconds; the last number of a histogram is of what is above all';

-- The histogram of some places in it, such as width_bucket returns.
create or replace function supaqueue.histogram(places integer[])
returns integer[]
language plpgsql
immutable
set search_path = ''
as $$
begin
  return array(
    select coalesce(c.number, 0)
    from generate_series(1, cardinality(supaqueue.histogram_bounds()) + 1) as n
    left join (select p.place, count(*)::integer as number from unnest(places) as p (place) group by p.place) c on c.place = n
    order by n
  );
end
$$;

create or replace function supaqueue.add_histograms(a bigint[], b bigint[])
returns bigint[]
language plpgsql
immutable
set search_path = ''
as $$
begin
  return array(
    select coalesce(u.a, 0) + coalesce(u.b, 0) from unnest(a, b) with ordinality as u (a, b, place) order by u.place
  );
end
$$;

-- Counts the jobs that have ended since they were counted last, in minute, hour and counted, about _limit of
-- them; returns whether there are more. Looks at 100 queues at a time, so that a tick with nothing to count costs next to
-- nothing, and goes on with the others at the next tick.
--
-- counted.until says up to which finished_at all jobs of a queue are counted. It moves in the transaction
-- that counts them, so each is counted once. The rows of queues that are gone are deleted.
create or replace function supaqueue.count_ended_jobs(_limit bigint default 20000)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  horizon timestamptz;
  after uuid := coalesce((select t.counted_until from supaqueue.last_tick t), '00000000-0000-0000-0000-000000000000');
  queues uuid[];
  to_count uuid[];
  _queue uuid;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('supaqueue.count', 0)) then
    return false;
  end if;
  select
    array_agg(q.id order by q.id),
    array_agg(q.id order by q.id) filter (where c.queue is null or exists (
      select
      from unnest(array['successful', 'failed', 'cancelled']) as s (status)
      cross join lateral (
        select from supaqueue.job j
        where j.queue = q.id and j.ended_as = s.status and j.finished_at > c.until
        limit 1
      ) e
    ))
  into queues, to_count
  from (select o.id from supaqueue.queue o where o.id > after order by o.id limit 100) q
  left join supaqueue.counted c on c.queue = q.id;

  delete from supaqueue.counted c
  where c.queue > after and (queues[100] is null or c.queue <= queues[100]) and c.queue <> all (coalesce(queues, '{}'));
  if to_count is not null then
    horizon := supaqueue.count_horizon();
  end if;
  foreach _queue in array coalesce(to_count, '{}') loop
    _limit := _limit - supaqueue.try_count_queue(_queue, horizon, _limit);
    -- Goes on with this queue.
    exit when _limit <= 0;
    after := _queue;
  end loop;
  if _limit > 0 then
    after := queues[100];
  end if;
  update supaqueue.last_tick t set counted_until = after where t.counted_until is distinct from after;
  return _limit <= 0;
end
$$;

-- Up to when all ends are visible; -infinity: that is not to be known.
--
-- A job gets its finished_at before its transaction commits. So nothing is counted that ended after the
-- oldest transaction with changes began, unless that has been open for 10 minutes: what it ends is not
-- counted then. Sessions that this role may not look into count as begun a minute ago.
--
-- Read in a statement of its own, before the jobs: who is not among the transactions any more is seen then. At
-- another isolation level it would not be.
create or replace function supaqueue.count_horizon()
returns timestamptz
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    return '-infinity';
  end if;
  return greatest(at - interval '10 minutes', least(at - interval '1 second', (
    select min(coalesce(a.xact_start, at - interval '1 minute')) - interval '1 millisecond'
    from pg_catalog.pg_stat_activity a
    where a.backend_xid is not null and a.pid <> pg_backend_pid()
      and a.datid = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
  )));
end
$$;

-- Counts the jobs of a queue (see count_queue), and notes an error, so that it keeps no other queue from being
-- counted.
create or replace function supaqueue.try_count_queue(_queue uuid, _horizon timestamptz, _limit bigint)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  jobs bigint;
begin
  jobs := supaqueue.count_queue(_queue, _horizon, _limit);
  perform supaqueue.note_done('count', _queue);
  return jobs;
exception
  when others then
    perform supaqueue.note_unfinished('count', _queue, null, sqlstate, sqlerrm);
    return 0;
end
$$;

-- Counts the jobs of a queue that ended up to a time, about _limit of them, the oldest first: more only if
-- some ended at the very same moment. Returns how many.
create or replace function supaqueue.count_queue(_queue uuid, _horizon timestamptz, _limit bigint)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  bounds constant numeric[] := supaqueue.histogram_bounds();
  total supaqueue.counted;
  _until timestamptz;
  ended record;
  jobs bigint := 0;
begin
  insert into supaqueue.counted (queue, until) values (_queue, '-infinity') on conflict do nothing;
  select c.* into total from supaqueue.counted c where c.queue = _queue for update;
  -- An older transaction has come up since.
  if _horizon <= total.until then
    return 0;
  end if;
  _until := coalesce((
    select e.finished_at
    from unnest(array['successful', 'failed', 'cancelled']) as s (status)
    cross join lateral (
      select j.finished_at from supaqueue.job j
      where j.queue = _queue and j.ended_as = s.status and j.finished_at > total.until and j.finished_at <= _horizon
      order by j.finished_at
      limit _limit
    ) e
    order by e.finished_at
    offset _limit - 1
    limit 1
  ), _horizon);

  for ended in
    select
      date_trunc('minute', e.finished_at, 'UTC') as at, count(*) as jobs,
      count(*) filter (where e.status = 'successful') as succeeded,
      count(*) filter (where e.status = 'failed') as failed,
      count(*) filter (where e.status = 'cancelled') as cancelled,
      least(sum(e.attempts), 2147483647) as started, least(sum(greatest(e.attempts - 1, 0)), 2147483647) as retried,
      supaqueue.histogram(array_agg(width_bucket(e.wait_ms - 1, bounds) + 1) filter (where e.wait_ms is not null)) as wait,
      supaqueue.histogram(array_agg(width_bucket(e.run_ms - 1, bounds) + 1) filter (where e.run_ms is not null)) as run,
      coalesce(sum(e.wait_ms), 0) as wait_ms, coalesce(sum(e.run_ms), 0) as run_ms
    from (
      select
        s.status, j.finished_at, j.attempts,
        -- A job that was cancelled before it was started, or started again, has no last attempt.
        case
          when j.started_at is null or not isfinite(j.run_at) or s.status = 'cancelled' and j.started_at < j.run_at then null
          else ceil(least(greatest(extract(epoch from j.started_at - j.run_at) * 1000, 0), 1e11))
        end as wait_ms,
        case when s.status <> 'cancelled' then j.duration_ms::numeric end as run_ms
      from unnest(array['successful', 'failed', 'cancelled']) as s (status)
      cross join lateral (
        select f.finished_at, f.attempts, f.started_at, f.run_at, f.duration_ms from supaqueue.job f
        where f.queue = _queue and f.ended_as = s.status and f.finished_at > total.until and f.finished_at <= _until
      ) j
    ) e
    group by 1
    order by 1
  loop
    insert into supaqueue.minute as m (queue, at, started, succeeded, failed, cancelled, retried, wait, run)
    select q.id, ended.at, ended.started, ended.succeeded, ended.failed, ended.cancelled, ended.retried, ended.wait, ended.run
    from (values (_queue), ('00000000-0000-0000-0000-000000000000')) as q (id)
    on conflict (queue, at) do update
    set started = least(m.started::bigint + excluded.started, 2147483647), succeeded = m.succeeded + excluded.succeeded,
      failed = m.failed + excluded.failed, cancelled = m.cancelled + excluded.cancelled,
      retried = least(m.retried::bigint + excluded.retried, 2147483647),
      wait = supaqueue.add_histograms(m.wait, excluded.wait), run = supaqueue.add_histograms(m.run, excluded.run);
    -- Written out: a statement made for the table's name would be planned each time.
    insert into supaqueue.hour as m (queue, at, started, succeeded, failed, cancelled, retried, wait, run)
    select q.id, date_trunc('hour', ended.at, 'UTC'), ended.started, ended.succeeded, ended.failed, ended.cancelled, ended.retried, ended.wait, ended.run
    from (values (_queue), ('00000000-0000-0000-0000-000000000000')) as q (id)
    on conflict (queue, at) do update
    set started = least(m.started::bigint + excluded.started, 2147483647), succeeded = m.succeeded + excluded.succeeded,
      failed = m.failed + excluded.failed, cancelled = m.cancelled + excluded.cancelled,
      retried = least(m.retried::bigint + excluded.retried, 2147483647),
      wait = supaqueue.add_histograms(m.wait, excluded.wait), run = supaqueue.add_histograms(m.run, excluded.run);
    total.started := total.started + ended.started;
    total.succeeded := total.succeeded + ended.succeeded;
    total.failed := total.failed + ended.failed;
    total.cancelled := total.cancelled + ended.cancelled;
    total.retried := total.retried + ended.retried;
    total.wait := supaqueue.add_histograms(total.wait, ended.wait);
    total.run := supaqueue.add_histograms(total.run, ended.run);
    total.wait_ms := total.wait_ms + ended.wait_ms;
    total.run_ms := total.run_ms + ended.run_ms;
    jobs := jobs + ended.jobs;
  end loop;
  update supaqueue.counted c
  set until = _until, started = total.started, succeeded = total.succeeded, failed = total.failed,
    cancelled = total.cancelled, retried = total.retried, wait = total.wait, run = total.run, wait_ms = total.wait_ms,
    run_ms = total.run_ms
  where c.queue = _queue;
  return jobs;
end
$$;

-- Deletes the rows of minute and hour that are no longer kept, the oldest first, some at a time.
create or replace function supaqueue.delete_minutes()
returns void
language plpgsql
set search_path = ''
as $$
declare
  before timestamptz := now() - (supaqueue.settings()).keep_minutes_for;
begin
  delete from supaqueue.minute m
  where m.ctid = any (array(
    select o.ctid from supaqueue.minute o where o.at < before order by o.at limit 2000 for update skip locked));
  delete from supaqueue.hour h
  where h.ctid = any (array(
    select o.ctid from supaqueue.hour o where o.at < before order by o.at limit 2000 for update skip locked));
end
$$;
$migration$;

--- schema/52_release_keys.sql

execute $migration$
-- Releases keys whose hold is over. An insert of the same key does not wait for this; so that it can say
-- what is wrong when it cannot be done.
create or replace function supaqueue.release_keys()
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  jobs uuid[] := supaqueue.expired_holders(1000);
  _job uuid;
  released integer := 0;
begin
  foreach _job in array jobs loop
    begin
      released := released + supaqueue.release_key(_job)::integer;
    exception
      when others then
        perform supaqueue.note_unfinished('release', j.queue, j.id, sqlstate, sqlerrm)
        from supaqueue.job j
        where j.id = _job;
    end;
  end loop;
  return released > 0 and cardinality(jobs) = 1000;
end
$$;

create or replace function supaqueue.expired_holders(_limit integer)
returns uuid[]
language plpgsql
set search_path = ''
as $$
begin
  return array(
    select j.id
    from supaqueue.job j
    where j.key_held_until <= clock_timestamp() and j.key_held_until < 'infinity'
      and not exists (
        select from supaqueue.unfinished u
        where u.job = j.id and u.step = 'release' and u.retry_at > clock_timestamp()
      )
    order by j.key_held_until
    limit _limit
  );
end
$$;
$migration$;

--- schema/53_delete_finished_jobs.sql

execute $migration$
-- Deletes finished jobs that are counted and that their queue no longer keeps, the oldest first, at most retention_batch;
-- returns whether there may be more. Looks at 100 queues at a time, and goes on with the others at
-- the next tick.
--
-- In a trigger, an add-on that must keep a job finds the setting supaqueue.is_retention 'on', and
-- may skip the row.
create or replace function supaqueue.delete_finished_jobs()
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  batch integer := (supaqueue.settings()).retention_batch;
  queues uuid[] := array(
    select q.id from supaqueue.queue q
    where q.id > coalesce((select t.cleaned_until from supaqueue.last_tick t), '00000000-0000-0000-0000-000000000000')
    order by q.id
    limit 100
  );
  jobs uuid[] := supaqueue.jobs_to_delete(queues, batch);
begin
  if cardinality(jobs) < batch then
    update supaqueue.last_tick t set cleaned_until = queues[100] where t.cleaned_until is distinct from queues[100];
  end if;
  if jobs = '{}' then
    return false;
  end if;
  perform set_config('supaqueue.is_retention', 'on', true);
  perform supaqueue.delete_jobs(jobs);
  perform set_config('supaqueue.is_retention', '', true);
  -- Those that were kept are not looked at again for a while.
  insert into supaqueue.unfinished (step, queue, job, retry_at)
  select 'delete', j.queue, j.id, clock_timestamp() + interval '1 hour'
  from supaqueue.job j
  where j.id = any (jobs) and not exists (select from supaqueue.unfinished u where u.step = 'delete' and u.job = j.id);
  return cardinality(jobs) = batch;
end
$$;

create or replace function supaqueue.jobs_to_delete(_queues uuid[], _limit integer)
returns uuid[]
language plpgsql
set search_path = ''
set lock_timeout = '1s'
as $$
begin
  return array(
    select old.id
    from (select o.* from supaqueue.queue o where o.id = any (_queues) offset 0) q
    join supaqueue.counted c on c.queue = q.id
    -- Jobs that hold their keys are not walked over each time.
    cross join lateral (values
      ('successful', case when q.keep_successful_for is not null then greatest(q.keep_successful_for, q.key_held_for) end),
      ('cancelled', q.keep_successful_for),
      ('failed', q.keep_failed_for)
    ) as kept (status, duration)
    cross join lateral (
      select f.id
      from supaqueue.job f
      where f.queue = q.id and f.ended_as = kept.status and f.finished_at <= least(c.until, now() - kept.duration)
        and (f.key_held_until > clock_timestamp() and f.key_held_until < 'infinity') is not true
        and not exists (
          select from supaqueue.unfinished u
          where u.job = f.id and u.step = 'delete' and u.retry_at > clock_timestamp()
        )
      order by f.finished_at
      limit _limit
      for update of f skip locked
    ) old
    where kept.duration is not null
    limit _limit
  );
end
$$;

-- Deletes jobs. If that fails, because a foreign key of the user's refers to one for example, it
-- halves them until the ones that cannot be deleted are alone.
create or replace function supaqueue.delete_jobs(_jobs uuid[])
returns void
language plpgsql
set search_path = public, extensions
as $$
declare
  half integer := cardinality(_jobs) / 2;
begin
  delete from supaqueue.job j where j.id = any (_jobs);
exception
  when others then
    if half = 0 then
      perform supaqueue.note_unfinished('delete', j.queue, j.id, sqlstate, sqlerrm)
      from supaqueue.job j
      where j.id = _jobs[1];
    else
      perform supaqueue.delete_jobs(_jobs[:half]);
      perform supaqueue.delete_jobs(_jobs[half + 1:]);
    end if;
end
$$;
$migration$;

--- schema/54_purge_tick_history.sql

execute $migration$
-- Deletes the rows that pg_cron keeps of each run of the tick, after an hour. They have an index on
-- runid only, and may be millions: this looks at a few at a time, in that order.
create or replace function supaqueue.purge_tick_history()
returns void
language plpgsql
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  runs bigint[];
begin
  if to_regclass('cron.job_run_details') is null then
    return;
  end if;
  runs := array(
    select d.runid
    from (
      select
        r.runid,
        -- Runs that a restart of the server ended have no times.
        coalesce(r.end_time, r.start_time, case r.status when 'failed' then '-infinity'::timestamptz end) as end_time
      from cron.job_run_details r
      where r.runid > coalesce(
        -- pg_cron counts from 1 again after it was installed anew.
        (select t.purged_until from supaqueue.last_tick t
          where exists (select from cron.job_run_details d where d.runid >= t.purged_until)), 0)
      order by r.runid
      limit 100
    ) d
    where d.end_time < now() - interval '1 hour'
    order by d.runid
  );
  delete from cron.job_run_details d
  where d.runid = any (array(
    select r.runid from cron.job_run_details r
    where r.runid = any (runs) and r.command ~ 'supaqueue\.tick(_step)?\('
    for update skip locked
  ));
  update supaqueue.last_tick t set purged_until = runs[cardinality(runs)] where t.is_only_row and runs <> '{}';
end
$$;
$migration$;

--- schema/55_run_step.sql

execute $migration$
-- Does a step of the tick, for a queue, a schedule or an operation (the steps of that name), or (null) for all. A step that fails is noted, for problem,
-- and tried again after a pause, and does not keep others from being done. Returns whether there is
-- more to do.
create or replace function supaqueue.run_step(_step text, _queue uuid default null)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  has_more boolean := false;
begin
  if supaqueue.is_put_off(_step, _queue) then
    return false;
  end if;
  -- Before the work: a note that is committed meanwhile is about something that this may not have seen.
  perform supaqueue.note_done(_step, _queue);
  case _step
    when 'end runs' then
      perform supaqueue.end_runs();
    when 'schedules' then
      has_more := supaqueue.run_schedules();
    when 'schedule' then
      perform supaqueue.run_due(_queue);
    when 'take back' then
      has_more := supaqueue.recover(_queue);
    when 'settle' then
      perform supaqueue.settle_again(_queue);
      perform supaqueue.insert_end_jobs_again(_queue);
    when 'admit' then
      has_more := supaqueue.admit_jobs(_queue, '-infinity', 1000) = 1000;
      perform supaqueue.lower_fronts(array[_queue]);
    when 'start' then
      perform supaqueue.reset_front(_queue);
      -- Rows of jobs that were deleted or changed without triggers would be walked over for ever.
      delete from supaqueue.ready_job r
      where r.ctid = any (supaqueue.stale_places(_queue));
      perform supaqueue.start_jobs(array[_queue], array[_queue]);
      perform supaqueue.move_front(_queue, null);
    when 'check' then
      has_more := supaqueue.check_places();
    when 'pipelines' then
      if to_regprocedure('supaqueue.tick_job_dependencies()') is not null then
        execute 'select supaqueue.tick_job_dependencies()' into has_more;
      end if;
    when 'operate' then
      has_more := supaqueue.operate();
    when 'operation' then
      perform supaqueue.operate_piece(_queue);
    when 'release' then
      has_more := supaqueue.release_keys();
    when 'count' then
      has_more := supaqueue.count_ended_jobs();
      perform supaqueue.delete_minutes();
    when 'delete' then
      has_more := supaqueue.delete_finished_jobs();
    when 'purge' then
      perform supaqueue.purge_tick_history();
      perform supaqueue.delete_old_operations();
  end case;
  return has_more;
exception
  when others then
    perform supaqueue.note_unfinished(_step, _queue, null, sqlstate, sqlerrm);
    return false;
end
$$;

-- The queues in which there is something to do, at most 1000. What this reads is small, or read through an index
-- from its start: queues with nothing to do cost nothing.
create or replace function supaqueue.queues_to_look_after(_lost uuid[])
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
begin
  return array(
    with recursive ready (queue) as (
      (select r.queue from supaqueue.ready_job r order by r.queue limit 1)
      union all
      select (select n.queue from supaqueue.ready_job n where n.queue > ready.queue order by n.queue limit 1)
      from ready
      where ready.queue is not null
    )
    select found.queue
    from (
      select r.queue from ready r where r.queue is not null and supaqueue.free_workers(r.queue) > 0
      union
      select h.queue
      from (select d.queue from supaqueue.held_job d where d.until <= at order by d.until limit 1000) h
      union
      select unnest(_lost)
      union
      select u.queue from supaqueue.unfinished u where u.queue is not null and u.retry_at <= at and u.step not in ('delete', 'schedule', 'operation')
    ) found
    order by random()
    limit 1000
  );
end
$$;

-- The queues in which something was lost: a call, or a worker's call.
create or replace function supaqueue.queues_with_losses()
returns uuid[]
language sql
stable
set search_path = ''
as $$
  select array(
    select c.queue from supaqueue.current_job c
    where c.lease_until < clock_timestamp()
      or c.run is not null and c.run not in (select r.id from supaqueue.run r where not r.is_over)
    union
    select d.queue from supaqueue.deleted_worker d
    union
    select w.queue from supaqueue.worker w
    where w.locked and (w.queue, w.id) not in (select c.queue, c.worker from supaqueue.current_job c)
  )
$$;

-- Does all that there is to do in a queue. Returns whether there is more. has_losses: see
-- queues_with_losses; to look for them in each queue would read all calls each time.
create or replace function supaqueue.look_after(_queue uuid, has_losses boolean)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  has_more boolean := false;
begin
  perform supaqueue.lock_queues('{}', array[_queue]);
  if has_losses then
    has_more := supaqueue.run_step('take back', _queue);
  end if;
  perform supaqueue.run_step('settle', _queue);
  has_more := supaqueue.run_step('admit', _queue) or has_more;
  perform supaqueue.run_step('start', _queue);
  perform supaqueue.note_done('look after', _queue);
  return has_more;
exception
  when others then
    perform supaqueue.note_unfinished('look after', _queue, null, sqlstate, sqlerrm);
    return false;
end
$$;
$migration$;

--- schema/56_tick.sql

execute $migration$
-- Everything periodic: inserts the jobs of schedules, takes back lost calls, starts what is due, does pieces of
-- operations, deletes what is no longer kept. Safe to run at any time, also twice at once.
--
-- It goes by steps, and pg_cron's command commits after each (see tick_command), so that no queue waits
-- for another and few locks are held. This procedure runs all of them in one transaction, and so
-- wherever a statement can be run. A procedure that commits could not be called by the SQL editor, nor
-- have a search_path of its own.
create or replace procedure supaqueue.tick()
language plpgsql
set search_path = ''
as $$
declare
  state jsonb := '{}';
  queues uuid[];
  lost uuid[];
begin
  while state is not null loop
    select t.* into state, queues, lost from supaqueue.tick_step(state, queues, lost) t;
  end loop;
end
$$;
comment on procedure supaqueue.tick is 'All periodic work of Supaqueue, in one transaction; pg_cron does the same step by step (see supaqueue.schedule_tick)';

-- What pg_cron runs. At another isolation level a step would not see what others have committed.
create or replace function supaqueue.tick_command()
returns text
language sql
immutable
set search_path = ''
as $$
  select 'do $tick$ declare s jsonb := ''{}''; q uuid[]; l uuid[]; begin while s is not null loop commit; '
    'set transaction isolation level read committed; select t.* into s, q, l from supaqueue.tick_step(s, q, l) t; end loop; end $tick$'
$$;

-- Does one step, and returns what the next one needs; a null state: it was the last one.
--
-- queues: those that are still to be looked after in this round, at most 1000; lost: those of them with losses.
create or replace function supaqueue.tick_step(inout state jsonb, inout queues uuid[], inout lost uuid[])
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
  step text := coalesce(state ->> 'step', 'end runs');
  next_step text := case step
    when 'end runs' then 'schedules'
    when 'schedules' then 'queues'
    when 'queues' then 'check'
    when 'check' then 'pipelines'
    when 'pipelines' then 'operate'
    when 'operate' then 'release'
    when 'release' then 'count'
    when 'count' then 'delete'
    when 'delete' then 'purge'
  end;
  since timestamptz := coalesce((state ->> 'since')::timestamptz, at);
  has_more boolean := coalesce((state ->> 'has_more')::boolean, false);
begin
  if step = 'queues' then
    if queues is null then
      lost := supaqueue.queues_with_losses();
      queues := supaqueue.queues_to_look_after(lost);
      has_more := cardinality(queues) = 1000;
    end if;
    if queues <> '{}' then
      has_more := supaqueue.look_after(queues[1], queues[1] = any (lost)) or has_more;
      queues := queues[2:];
    end if;
    if queues <> '{}' then
      next_step := step;
    else
      queues := null;
      next_step := case when has_more and at < since + interval '20 seconds' then step else next_step end;
    end if;
  else
    if state ->> 'step' is null and not supaqueue.begin_tick(at) then
      state := null;
      return;
    end if;
    has_more := supaqueue.run_step(step);
    if next_step = 'operate' and not supaqueue.has_operation() then
      next_step := 'release';
    end if;
    -- Deletes one batch, as the setting says.
    next_step := case when has_more and step <> 'delete' and at < since + interval '5 seconds' then step else next_step end;
  end if;
  if next_step is null then
    update supaqueue.last_tick t set finished_at = clock_timestamp() where t.is_only_row;
  end if;
  state := case when next_step is not null then jsonb_build_object(
    'step', next_step, 'has_more', has_more, 'since', case when next_step = step then since else clock_timestamp() end) end;
end
$$;

-- Leaves a sign of life. Returns false if another tick does the same at this moment.
create or replace function supaqueue.begin_tick(_started_at timestamptz)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  if not pg_try_advisory_xact_lock(hashtextextended('supaqueue.tick', 0)) then
    return false;
  end if;
  update supaqueue.last_tick t
  set started_at = _started_at,
    is_check_urgent = t.is_check_urgent or t.server_started_at is distinct from pg_postmaster_start_time(),
    checked_until = case when t.server_started_at = pg_postmaster_start_time() then t.checked_until end,
    server_started_at = pg_postmaster_start_time()
  where t.is_only_row;
  if not found then
    insert into supaqueue.last_tick (started_at, server_started_at) values (_started_at, pg_postmaster_start_time());
  end if;
  return true;
end
$$;
$migration$;

--- schema/57_insert_scheduled_job.sql

execute $migration$
-- Inserts the job of a schedule for a time; returns its id, or null if there is one for that time, or a
-- previous one has not ended. With overlap replace, one that has not started is changed instead, and its
-- id returned.
--
-- The id follows from the schedule and the time, so that the primary key keeps it unique. If the key is
-- being inserted just now by another transaction, this waits for it, but not for long.
create or replace function supaqueue.insert_scheduled_job(
  schedule supaqueue.schedule, _at timestamptz, _run_at timestamptz, _overlap text, _id uuid default null
)
returns uuid
language plpgsql
set search_path = public, extensions
set lock_timeout = '1s'
as $$
declare
  job_key text := case when _overlap <> 'allow' then supaqueue.key_of(schedule) end;
  job_headers jsonb := coalesce(schedule.headers, '{}') || jsonb_build_object(
    'supaqueue-schedule', supaqueue.percent_encoded(schedule.name),
    'supaqueue-scheduled-at', to_char(_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'));
  new_job uuid;
  holder uuid;
begin
  insert into supaqueue.job as j (id, queue, payload, headers, priority, run_at, path, timeout_ms, max_attempts, tenant, key, key_held)
  values (
    coalesce(_id, supaqueue.scheduled_job_id(schedule.id, _at)), schedule.queue, schedule.payload, job_headers, schedule.priority,
    _run_at, schedule.path, schedule.timeout_ms, schedule.max_attempts, schedule.tenant, job_key,
    case when job_key is not null then 'unfinished' end)
  on conflict do nothing
  returning j.id into new_job;
  if new_job is null and _overlap = 'replace' then
    holder := (supaqueue.holder_of(schedule.queue, job_key)).job;
    if supaqueue.change_holder(
      holder, schedule.payload, schedule.priority, _run_at, job_headers, schedule.max_attempts, schedule.timeout_ms, schedule.path, 'replace',
      schedule.tenant)
    then
      return holder;
    end if;
  end if;
  return new_job;
end
$$;

-- The key that the jobs of a schedule hold, unless it lets them overlap.
create or replace function supaqueue.key_of(schedule supaqueue.schedule)
returns text
language sql
immutable
set search_path = ''
as $$
  select coalesce(schedule.key, 'schedule:' || schedule.name)
$$;

-- Like new_id, with the schedule instead of chance.
create or replace function supaqueue.scheduled_job_id(_schedule uuid, _at timestamptz)
returns uuid
language plpgsql
immutable
set search_path = ''
as $$
declare
  hash text := md5(_schedule::text);
begin
  return (
    lpad(to_hex((extract(epoch from _at) * 1000)::bigint), 12, '0') || '7' || left(hash, 3) || '8' || substr(hash, 4, 15)
  )::uuid;
end
$$;

-- As the header supaqueue-queue is written: all but printable ASCII, and %, as UTF-8.
create or replace function supaqueue.percent_encoded(value text)
returns text
language plpgsql
immutable
set search_path = ''
as $$
declare
  bytes bytea := convert_to(value, 'UTF8');
begin
  if value !~ '[^ -$&-~]' then
    return value;
  end if;
  return (
    select string_agg(case
        when get_byte(bytes, i) between 32 and 126 and get_byte(bytes, i) <> 37 then chr(get_byte(bytes, i))
        else '%' || upper(lpad(to_hex(get_byte(bytes, i)), 2, '0'))
      end, '' order by i)
    from generate_series(0, length(bytes) - 1) as i
  );
end
$$;
$migration$;

--- schema/57_run_due.sql

execute $migration$
-- Inserts the jobs of schedules that are due, and moves their next_at in the same transaction. So a
-- time is neither lost nor served twice, also when two do this at once, or one of them crashes.

-- Does so for the schedules of a queue (null: of all), at most 50; returns whether there may be more.
-- Each fails alone.
create or replace function supaqueue.run_schedules(_queue uuid default null)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  schedules uuid[] := supaqueue.due_schedules(_queue, 50);
begin
  perform supaqueue.run_step('schedule', s.id) from unnest(schedules) as s (id);
  return cardinality(schedules) = 50;
end
$$;

create or replace function supaqueue.due_schedules(_queue uuid, _limit integer)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
begin
  if _queue is null then
    return array(
      select s.id from supaqueue.schedule s
      where s.next_at <= at and not supaqueue.is_put_off('schedule', s.id)
      order by s.next_at
      limit _limit
    );
  end if;
  return array(
    select s.id from supaqueue.schedule s
    where s.queue = _queue and s.next_at <= at and not supaqueue.is_put_off('schedule', s.id)
    order by s.next_at
    limit _limit
  );
end
$$;

-- Does so for one schedule. Of the times that were missed it takes those that it is to catch up, the
-- last 100 at most; it does not walk over the others.
create or replace function supaqueue.run_due(_schedule uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
  schedule supaqueue.schedule := supaqueue.lock_due_schedule(_schedule, at);
  delay interval := supaqueue.delay(schedule.name, schedule.spread);
  first timestamptz := schedule.next_at - delay;
  last timestamptz := first;
  next timestamptz := supaqueue.next_time(schedule.parsed, schedule.every, schedule.timezone, first);
  -- Two minutes are no outage: the tick may be late.
  catch_up_within interval := case
    when schedule.missed = 'none' then interval '2 minutes'
    when schedule.catch_up_within is not null then greatest(schedule.catch_up_within, interval '2 minutes')
  end;
  times timestamptz[] := '{}';
  times_count bigint := 1;
  jobs uuid[] := '{}';
  job uuid;
  skipped integer := 0;
begin
  if schedule.id is null then
    return;
  elsif schedule.pause_after_failures is not null and supaqueue.failures_in_a_row(schedule) is not null then
    update supaqueue.schedule s
    set is_paused = true, paused_because = supaqueue.failures_in_a_row(schedule)
    where s.id = schedule.id;
    return;
  end if;
  if next <= at - delay then
    last := supaqueue.last_time(schedule.parsed, schedule.every, schedule.timezone, next, at - delay);
    times_count := supaqueue.count_times(schedule.parsed, schedule.every, schedule.timezone, first, last);
    next := supaqueue.next_time(schedule.parsed, schedule.every, schedule.timezone, last);
  end if;
  if next is null then
    raise exception 'its cron expression % has no next time', quote_literal(schedule.cron) using errcode = 'invalid_parameter_value';
  end if;

  while coalesce(last + delay >= at - catch_up_within, true) loop
    times := last || times;
    exit when last = first or cardinality(times) = case schedule.missed when 'all' then 100 else 1 end;
    last := supaqueue.last_time(schedule.parsed, schedule.every, schedule.timezone, first, last - interval '1 microsecond');
  end loop;
  last := schedule.last_at;
  for i in 1 .. cardinality(times) loop
    job := supaqueue.insert_scheduled_job(schedule, times[i], times[i] + delay, schedule.overlap);
    if job is null then
      skipped := skipped + 1;
    else
      jobs := job || array_remove(jobs, job);
      last := times[i];
    end if;
  end loop;

  update supaqueue.schedule s
  set next_at = next + delay,
    last_at = last,
    last_job = coalesce(jobs[1], s.last_job),
    recent_jobs = supaqueue.recent_jobs(jobs, s.recent_jobs),
    missed_count = s.missed_count + greatest(times_count - cardinality(times), 0),
    skipped_count = s.skipped_count + skipped
  where s.id = schedule.id;
end
$$;

-- The last 50 jobs of a schedule, the newest first.
create or replace function supaqueue.recent_jobs(jobs uuid[], before uuid[])
returns uuid[]
language plpgsql
immutable
set search_path = ''
as $$
begin
  return (jobs || array(
    select b.id from unnest(before) with ordinality as b (id, number) where b.id <> all (jobs) order by b.number
  ))[:50];
end
$$;

create or replace function supaqueue.lock_due_schedule(_schedule uuid, _at timestamptz)
returns supaqueue.schedule
language plpgsql
set search_path = ''
as $$
declare
  schedule supaqueue.schedule;
begin
  select s.* into schedule from supaqueue.schedule s where s.id = _schedule and s.next_at <= _at for no key update skip locked;
  return schedule;
end
$$;

-- That the last jobs of a schedule failed, as many as pause it; else null. Those that have not ended,
-- or were cancelled, do not count.
create or replace function supaqueue.failures_in_a_row(schedule supaqueue.schedule)
returns text
language plpgsql
set search_path = ''
as $$
begin
  return (
    select format('its last %s jobs failed, the last one with: %s', count(*), left((array_agg(j.message order by j.number))[1], 500))
    from (
      select r.number, j.ended_as, coalesce(j.errors -> -1 ->> 'message', 'no reason') as message
      from unnest(schedule.recent_jobs) with ordinality as r (id, number)
      join supaqueue.job j on j.id = r.id
      where j.ended_as in ('failed', 'successful')
      order by r.number
      limit schedule.pause_after_failures
    ) j
    having count(*) = schedule.pause_after_failures and bool_and(j.ended_as = 'failed')
  );
end
$$;
$migration$;

--- schema/58_act_on_jobs.sql

execute $migration$
-- Does the action of an operation to jobs, and counts. Jobs that have changed since they were found do not count as
-- matched. Each of the others is done or refused: one that cannot be changed does not keep others from it.
create or replace function supaqueue.act_on_jobs(
  operation supaqueue.operation, _jobs uuid[], out matched integer, out refused integer, out last_refusal text
)
language plpgsql
set search_path = public, extensions
set lock_timeout = '200ms'
as $$
declare
  locked record := supaqueue.lock_jobs_to_act_on(operation.plan, _jobs);
  refusable uuid[];
  acted record;
begin
  matched := cardinality(locked.jobs) + cardinality(locked.busy);
  refused := cardinality(locked.busy);
  if refused > 0 then
    last_refusal := format('job %s: another transaction has locked it', locked.busy[1]);
  end if;
  -- Those are known before: as rows of the statement, each would write a warning to the server's log.
  refusable := supaqueue.refusable_jobs(operation, locked.jobs);
  if refusable <> '{}' then
    refused := refused + cardinality(refusable);
    last_refusal := supaqueue.refusal(operation.action, operation.changes, refusable[1]);
    locked.jobs := array(select unnest(locked.jobs) except select unnest(refusable));
  end if;
  acted := supaqueue.act_or_halve(operation, locked.jobs);
  refused := refused + acted.refused;
  last_refusal := coalesce(acted.last_refusal, last_refusal);
end
$$;

-- Locks those of the jobs that still match. A lock is waited for, but not for long: busy are those that others have.
create or replace function supaqueue.lock_jobs_to_act_on(f jsonb, _jobs uuid[], out jobs uuid[], out busy uuid[])
language plpgsql
set search_path = ''
set lock_timeout = '200ms'
as $$
declare
  query text := format('select array(select j.id from supaqueue.job j where j.id = any ($1) and %s order by j.id', supaqueue.filter_conditions(f));
begin
  busy := '{}';
  begin
    execute query || ' for no key update)' into jobs using _jobs;
    return;
  exception
    when lock_not_available then
      null;
  end;
  execute query || ' for no key update skip locked)' into jobs using _jobs;
  execute query || ')' into busy using array(select unnest(_jobs) except select unnest(jobs));
end
$$;

-- Those of the jobs, which are locked, that are to stay as they are.
create or replace function supaqueue.refusable_jobs(operation supaqueue.operation, _jobs uuid[])
returns uuid[]
language plpgsql
stable
set search_path = ''
as $$
begin
  return case
    when operation.action = 'retry' then array(
      select j.id
      from supaqueue.job j
      where j.id = any (_jobs)
        and (
          exists (select from supaqueue.current_job c where c.job = j.id)
          or j.key is not null and j.key_held_until is null and exists (
            select from supaqueue.job h
            where h.queue = j.queue and h.key = j.key and h.key_held_until is not null and h.key_held_until > clock_timestamp()
          )
        )
    )
    when operation.action = 'delete' or operation.changes ? 'queue' then array(
      select j.id from supaqueue.job j where j.id = any (_jobs) and j.status = 'in_progress'
    )
    else '{}'
  end;
end
$$;

-- Why a job was left as it is.
create or replace function supaqueue.refusal(_action text, _changes jsonb, _job uuid)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  job supaqueue.job;
  holder uuid;
begin
  select j.* into job from supaqueue.job j where j.id = _job;
  if _action = 'retry' and job.key is not null and job.key_held_until is null then
    holder := (supaqueue.holder_of(job.queue, job.key)).job;
  end if;
  return format('job %s: ', _job) || case
    when _action = 'retry' and supaqueue.has_call(_job) then 'its call has not ended yet'
    when holder is not null then format('its key %L is held by job %s', job.key, holder)
    when _action = 'delete' and job.status = 'in_progress' then 'it is in progress; cancel it first'
    when _changes ? 'queue' and job.status = 'in_progress' then 'it is in progress, and stays in its queue until its call has ended'
    else 'a trigger on supaqueue.job skipped it (its function returned null), or changed it back'
  end;
end
$$;

-- Does the action to jobs that are locked. If that fails, it halves them until the ones that cannot be changed are
-- alone. Errors that are not about the jobs end the piece; it is tried again.
create or replace function supaqueue.act_or_halve(operation supaqueue.operation, _jobs uuid[], out refused integer, out last_refusal text)
language plpgsql
set search_path = public, extensions
as $$
declare
  half integer := cardinality(_jobs) / 2;
  left_over uuid[];
  part record;
begin
  refused := 0;
  if _jobs = '{}' then
    return;
  end if;
  begin
    left_over := supaqueue.act(operation, _jobs);
    refused := cardinality(left_over);
    if refused > 0 then
      last_refusal := supaqueue.refusal(operation.action, operation.changes, left_over[1]);
    end if;
  exception
    when others then
      if sqlstate ~ '^(40|53|57|58)' then
        raise;
      elsif half = 0 then
        refused := 1;
        last_refusal := format('job %s: %s', _jobs[1], left(sqlerrm, 1000));
        return;
      end if;
      for part in select a.* from (values (_jobs[:half]), (_jobs[half + 1:])) h (jobs) cross join lateral supaqueue.act_or_halve(operation, h.jobs) a loop
        refused := refused + part.refused;
        last_refusal := coalesce(part.last_refusal, last_refusal);
      end loop;
  end;
end
$$;

-- Does the action to jobs, and returns those that are as before.
--
-- Dynamic, so that each statement is planned for the table as it is now. Deferred constraints of the user's are checked here, so
-- that they refuse a job, and not the commit of the piece. Users' triggers run within it: they find what they
-- expect in the search path, and none of our planner settings (see plan_settings).
create or replace function supaqueue.act(operation supaqueue.operation, _jobs uuid[])
returns uuid[]
language plpgsql
set search_path = public, extensions
set client_min_messages = error
as $$
declare
  c jsonb := operation.changes;
  constraints text := (
    select string_agg(format('%I.%I', n.nspname, d.conname), ', ')
    from pg_catalog.pg_constraint d
    join pg_catalog.pg_namespace n on n.oid = d.connamespace
    where d.condeferred and (d.conrelid = 'supaqueue.job'::regclass or d.confrelid = 'supaqueue.job'::regclass)
  );
  changed uuid[];
  as_before uuid[];
begin
  case operation.action
    when 'retry' then
      execute 'update supaqueue.job j set status = ''pending'' where j.id = any ($1)' using _jobs;
      as_before := array(select j.id from supaqueue.job j where j.id = any (_jobs) and j.ended_as is not null);
    when 'cancel' then
      execute 'update supaqueue.job j set status = ''cancelled'' where j.id = any ($1)' using _jobs;
      as_before := array(select j.id from supaqueue.job j where j.id = any (_jobs) and j.status <> 'cancelled');
    when 'delete' then
      execute 'delete from supaqueue.job j where j.id = any ($1)' using _jobs;
      as_before := array(select j.id from supaqueue.job j where j.id = any (_jobs));
    when 'change' then
      execute format('with changed as (update supaqueue.job j set %s where j.id = any ($1) returning j.id) select array_agg(c.id) from changed c', (
        select string_agg(format('%I = %s', n.name, case n.name
          when 'payload' then format('%L::jsonb', c -> n.name)
          when 'headers' then format('%L::jsonb', nullif(c -> n.name, 'null'))
          when 'queue' then format('%L', supaqueue.queue_id(c ->> n.name))
          else format('%L', c ->> n.name)
        end), ', ')
        from jsonb_object_keys(c) n (name)
      ))
      into changed using _jobs;
      as_before := array(select unnest(_jobs) except select unnest(changed));
  end case;
  if constraints is not null then
    execute format('set constraints %s immediate', constraints);
  end if;
  return as_before;
end
$$;
$migration$;

--- schema/59_operate.sql

execute $migration$
-- Does the next piece of the operation whose turn it is; returns whether there is another piece to do now. Each
-- operation fails alone.
create or replace function supaqueue.operate()
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  operation uuid := supaqueue.next_operation();
begin
  if operation is null then
    return false;
  end if;
  perform supaqueue.run_step('operation', operation);
  return supaqueue.next_operation() is not null;
end
$$;

create or replace function supaqueue.has_operation()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (select from supaqueue.operation o where o.status = 'running');
end
$$;

-- The running operation that has waited longest for its turn.
create or replace function supaqueue.next_operation()
returns uuid
language plpgsql
set search_path = ''
as $$
begin
  return (
    select o.id
    from supaqueue.operation o
    where o.status = 'running' and supaqueue.allowance(o) > 0 and not supaqueue.is_put_off('operation', o.id)
    order by o.worked_at nulls first, o.id
    limit 1
  );
end
$$;

-- How many jobs an operation may act on now: a piece has 1000. What it did not use of its pace is lost after a minute.
create or replace function supaqueue.allowance(operation supaqueue.operation)
returns integer
language plpgsql
set search_path = ''
as $$
begin
  return least(1000, floor(coalesce(operation.per_second
    * extract(epoch from clock_timestamp() - greatest(operation.paced_at, clock_timestamp() - interval '1 minute')), 1000)));
end
$$;

-- Does one piece. The place moves in the same transaction, and the row stays locked until its end: so no piece is lost or done
-- twice, also when two do this at once, or one of them crashes.
create or replace function supaqueue.operate_piece(_operation uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  operation supaqueue.operation := supaqueue.lock_operation(_operation);
  number integer := supaqueue.allowance(operation);
  piece record;
  result record;
begin
  if operation.id is null or number <= 0 then
    return;
  end if;
  piece := supaqueue.find_jobs(operation.plan, operation.cursor, number, 10000, true);
  result := supaqueue.act_on_jobs(operation, piece.jobs);
  update supaqueue.operation o
  set cursor = coalesce(piece.next, o.cursor),
    status = case when piece.next is null then 'done' else o.status end,
    matched = o.matched + result.matched,
    done = o.done + result.matched - result.refused,
    refused = o.refused + result.refused,
    last_refusal = coalesce(result.last_refusal, o.last_refusal),
    paced_at = greatest(o.paced_at, clock_timestamp() - interval '1 minute')
      + coalesce(cardinality(piece.jobs) * interval '1 second' / o.per_second, '0'),
    worked_at = clock_timestamp()
  where o.id = operation.id;
end
$$;

create or replace function supaqueue.lock_operation(_operation uuid)
returns supaqueue.operation
language plpgsql
set search_path = ''
as $$
declare
  operation supaqueue.operation;
begin
  select o.* into operation from supaqueue.operation o where o.id = _operation and o.status = 'running' for no key update skip locked;
  return operation;
end
$$;

-- Deletes operations that ended 30 days ago.
create or replace function supaqueue.delete_old_operations()
returns void
language plpgsql
set search_path = ''
as $$
begin
  delete from supaqueue.operation o
  where o.id = any (array(
    select e.id from supaqueue.operation e
    where e.finished_at < now() - interval '30 days'
    order by e.finished_at
    limit 1000
    for update skip locked
  ));
end
$$;
$migration$;

--- schema/60_answer.sql

execute $migration$
-- The result of end_current_job.
create or replace function supaqueue.answer(
  state text, reason text default null, next_record jsonb default null, held_record jsonb default null, again_in_ms integer default null
)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  return jsonb_build_object(
    'accepted', state <> 'refused', 'state', state, 'reason', reason, 'next', next_record, 'held', held_record, 'again_in_ms', again_in_ms);
end
$$;
$migration$;

--- schema/61_hand_out_next_job.sql

execute $migration$
-- Gives the run of a call that ended the next job of its worker, as the record that it needs. Null if
-- there is none: no job is ready, the queue is paused, there is no room for the next job (_next), or
-- the worker is gone.
--
-- The run may have it begin at once, or hold it ready behind a call of the same worker (_behind). Its
-- attempt counts from now; if it is not begun, that is given back. A job that was held ready by runs
-- that were lost three times is not held any more: it may be what ends them.
create or replace function supaqueue.hand_out_next_job(call supaqueue.current_job, _next jsonb, _behind uuid default null)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  started_at timestamptz := clock_timestamp();
  queue supaqueue.queue;
  _job uuid;
  job record;
  job_record jsonb;
  next_call uuid;
begin
  if _next is null then
    return null;
  end if;
  queue := supaqueue.queue_of_worker(call.worker, call.queue);
  if queue.id is null then
    return null;
  end if;
  _job := (supaqueue.next_jobs(queue.id, 1))[1];
  if _job is null then
    return null;
  end if;
  job := supaqueue.lock_job(_job);
  if coalesce(job.timeout_ms, queue.timeout_ms) > (_next ->> 'within_ms')::numeric
    or supaqueue.bytes_of(_job, job.stored_bytes) > (_next ->> 'bytes')::numeric
    or _behind is not null and job.unstarted >= 3
  then
    return null;
  end if;
  job_record := supaqueue.take_job(job.place);
  insert into supaqueue.current_job (queue, worker, job, state, run, previous, behind)
  values (call.queue, call.worker, _job, case when _behind is null then 'started' else 'held' end, call.run, call.id, _behind)
  returning id into next_call;
  if random() < 0.01 or clock_timestamp() > started_at + interval '5 milliseconds' then
    perform supaqueue.try_move_front(queue.id, _job);
  end if;
  return supaqueue.record_of(next_call, job_record, queue);
end
$$;

-- The same; null if it fails. Whoever starts jobs next finds out why.
create or replace function supaqueue.try_hand_out_next_job(call supaqueue.current_job, _next jsonb, _behind uuid default null)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
  return supaqueue.hand_out_next_job(call, _next, _behind);
exception
  when others then
    return null;
end
$$;

-- The queue of a worker; null if the queue is paused or the worker is gone. If somebody deletes the
-- worker at this moment, a free one takes over the next call (see deleted_worker).
create or replace function supaqueue.queue_of_worker(_worker uuid, _queue uuid)
returns supaqueue.queue
language plpgsql
stable
set search_path = ''
as $$
declare
  queue supaqueue.queue;
begin
  select q.* into queue
  from supaqueue.worker w
  join supaqueue.queue q on q.id = w.queue
  where w.id = _worker and w.queue = _queue and not q.is_paused;
  return queue;
end
$$;
$migration$;

--- schema/62_take_sent_calls.sql

execute $migration$
-- Gives a run calls of a queue that were sent and that no run has acknowledged, the oldest first, as
-- many as it has room for: in its pulse _claimed_in, or with its report of the call _previous. Returns
-- their ids.
--
-- They keep their workers. pg_net sends one batch a second at most, so the run is faster than the
-- dispatch, which brings nothing when it arrives. What was sent longer ago than two dispatch leases is left
-- to the tick: the index keeps what vacuum may not remove.
create or replace function supaqueue.take_sent_calls(
  _queue uuid, _run uuid, _claimed_in integer, _previous uuid, room jsonb
)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  oldest timestamptz := clock_timestamp() - supaqueue.ms((supaqueue.settings()).dispatch_lease_ms * 2.0);
  sent record;
  calls uuid[] := '{}';
begin
  while supaqueue.fits(room, 0, 0) loop
    select c.id, n.bytes into sent
    from supaqueue.current_job c
    cross join lateral supaqueue.needs_of(c.job) n
    where c.queue = _queue and c.run is null and c.created_at > oldest
      and n.status = 'in_progress' and supaqueue.fits(room, n.timeout_ms, n.bytes)
    order by c.created_at
    limit 1
    for update of c skip locked;
    exit when not found;
    perform supaqueue.begin_call(sent.id, _run, _claimed_in, _previous);
    calls := calls || sent.id;
    room := supaqueue.room_after(room, 1, sent.bytes);
  end loop;
  return calls;
end
$$;

-- Gives a sent call to a run.
create or replace function supaqueue.begin_call(_current_job uuid, _run uuid, _claimed_in integer, _previous uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update supaqueue.current_job c
  set state = 'started', run = _run, claimed_in = _claimed_in, previous = _previous, lease_until = null
  where c.id = _current_job;
end
$$;
$migration$;

--- schema/63_free_worker.sql

execute $migration$
-- Frees the worker of a call that ended, and starts what can be started then, in its queue and in
-- those that the transaction has woken so far.
--
-- Returns the next job instead of freeing the worker if one came up before the lock was had and
-- _next asks for it (null: it does not). If the lock is not to be had soon, the worker is freed
-- without it, and the tick looks for jobs once more.
create or replace function supaqueue.free_worker(call supaqueue.current_job, _next jsonb default null)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  woken record := supaqueue.take_wake_ups();
  queues uuid[] := call.queue || woken.queues;
  exclusive uuid[];
  is_locked boolean := true;
  started_at timestamptz := clock_timestamp();
  next_record jsonb;
begin
  begin
    exclusive := supaqueue.lock_to_start(queues, array[call.queue], woken.has_usable_workers);
  exception
    when others then
      is_locked := false;
      perform supaqueue.note_unfinished('start', d.queue, null, sqlstate, sqlerrm) from unnest(queues) as d (queue);
  end;
  if is_locked then
    next_record := supaqueue.try_hand_out_next_job(call, _next);
  end if;
  if next_record is null then
    perform supaqueue.set_locked(array[call.worker], false);
  end if;
  if is_locked then
    if random() < 0.01 or clock_timestamp() > started_at + interval '5 milliseconds' then
      perform supaqueue.move_front(call.queue, call.job);
    end if;
    perform supaqueue.try_start_jobs(queues, exclusive);
  end if;
  return next_record;
end
$$;
$migration$;

--- schema/64_acknowledge.sql

execute $migration$
-- Gives a run the calls that a dispatch brought, in its pulse _number, as many as it has room for.
-- Returns their ids. What is not sent any more is left out: it was sent again under a new id, or
-- another run has it.
--
-- What there is no room for stays sent, with a new lease: the run takes it later, or it is sent
-- again. Each call fails alone, and is sent again, too.
create or replace function supaqueue.acknowledge(_run uuid, _number integer, _calls uuid[], room jsonb)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  _call uuid;
  _job uuid;
  needs record;
  started uuid[] := '{}';
begin
  foreach _call in array supaqueue.lock_sent_calls(_calls) loop
    begin
      _job := (supaqueue.lock_call(_call)).job;
      needs := supaqueue.needs_of(_job);
      if needs.status is distinct from 'in_progress' then
        -- Cancelled or deleted before the call began.
        perform supaqueue.drop_call(supaqueue.end_call(_call), '{"is_attempt": false}');
      elsif needs.timeout_ms > (room ->> 'whole_ms')::numeric then
        perform supaqueue.drop_call(supaqueue.end_call(_call), jsonb_build_object('is_attempt', false, 'problem', format(
          'its timeout of %s ms fits no isolate, which has %s ms for a call (SUPAQUEUE_TIME_BUDGET_MS, less the time for reports); '
          'lower timeout_ms of the job or its queue, or raise SUPAQUEUE_TIME_BUDGET_MS if the plan of the project allows it',
          needs.timeout_ms, room ->> 'whole_ms')));
      elsif supaqueue.fits(room, needs.timeout_ms, needs.bytes) then
        perform supaqueue.begin_call(_call, _run, _number, null);
        room := supaqueue.room_after(room, 1, needs.bytes);
        started := started || _call;
      else
        perform supaqueue.renew_call(_call);
      end if;
    exception
      when others then
        raise warning 'supaqueue could not acknowledge the call %: %', _call, sqlerrm using errcode = sqlstate;
    end;
  end loop;
  return started;
end
$$;

create or replace function supaqueue.lock_sent_calls(_calls uuid[])
returns uuid[]
language plpgsql
set search_path = ''
as $$
begin
  return array(
    select c.id from supaqueue.current_job c
    where c.id = any (_calls) and c.state = 'sent'
    order by c.created_at, c.id
    for update skip locked
  );
end
$$;

create or replace function supaqueue.lock_call(_current_job uuid)
returns supaqueue.current_job
language plpgsql
set search_path = ''
as $$
declare
  call supaqueue.current_job;
begin
  select c.* into call from supaqueue.current_job c where c.id = _current_job for update;
  return call;
end
$$;

-- Settles the job of a call that ended without having been made, and frees its worker, unless that
-- has another call. A job that somebody is changing just now is settled by the tick: a run does not
-- wait for it.
create or replace function supaqueue.drop_call(call supaqueue.current_job, _report jsonb)
returns void
language plpgsql
set search_path = ''
as $$
begin
  if call.id is null then
    return;
  elsif supaqueue.is_being_changed(call.job) then
    perform supaqueue.note_unfinished('settle', call.queue, call.job, null, null,
      jsonb_build_object('is_successful', false, 'report', _report));
  elsif not call.is_complete then
    perform supaqueue.settle_or_note(call.job, call.queue, false, _report);
  else
    perform supaqueue.settle_again(call.queue, call.job);
  end if;
  perform supaqueue.free_worker(call)
  where not supaqueue.is_call(call.held) and not supaqueue.is_call(call.behind);
end
$$;

create or replace function supaqueue.is_call(_current_job uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (select from supaqueue.current_job c where c.id = _current_job);
end
$$;

-- Takes back calls that a run has not begun. Each fails alone.
create or replace function supaqueue.give_back(_run uuid, _calls uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  _call uuid;
begin
  foreach _call in array supaqueue.lock_with_others(_calls) loop
    begin
      perform supaqueue.drop_call(supaqueue.end_call_of(_run, _call), '{"is_attempt": false, "is_due": true}');
    exception
      when others then
        raise warning 'supaqueue could not take back the call %: %', _call, sqlerrm using errcode = sqlstate;
    end;
  end loop;
end
$$;

create or replace function supaqueue.renew_call(_current_job uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update supaqueue.current_job c
  set lease_until = clock_timestamp() + supaqueue.ms((supaqueue.settings()).dispatch_lease_ms)
  where c.id = _current_job;
end
$$;

-- Locks calls, and the other calls of their workers, in the order in which a report locks the two: if somebody else
-- ended the other one at this moment, neither would free the worker. Returns the calls, held ones first, so that the
-- worker goes last.
--
-- A user may hold one of them for long, and a pulse must not wait for that: the tick frees the worker then, if need be.
create or replace function supaqueue.lock_with_others(_calls uuid[])
returns uuid[]
language plpgsql
set search_path = ''
set lock_timeout = '1s'
as $$
begin
  begin
    perform from supaqueue.current_job c
    where c.id = any (_calls || array(
      select unnest(array[one.held, one.behind]) from supaqueue.current_job one where one.id = any (_calls)))
    order by c.state = 'held', c.id
    for update;
  exception
    when lock_not_available then
      perform supaqueue.note_unfinished('start', q.id, null, sqlstate, sqlerrm)
      from (select distinct c.queue from supaqueue.current_job c where c.id = any (_calls)) q (id);
  end;
  return array(
    select c.id from supaqueue.current_job c where c.id = any (_calls) order by c.state <> 'held', c.id
  );
end
$$;
$migration$;

--- schema/65_report.sql

execute $migration$
-- Settles the job of a call that a run reports, and gives the run the worker's next job. If there is
-- none, the worker is freed, and the run gets what waits for pg_net.
--
-- A report can be repeated: while the run lives, its calls leave only by its own reports, so a call
-- that is gone was reported, and the answer is the same. Nothing else is refused than a run that is
-- over: its calls were given up, and it has to abort everything.
--
-- An error that would happen again (in a user's trigger, for example) does not fail the report: the
-- outcome is noted, and the tick settles the job. Others (a deadlock, a full disk) do: the run
-- repeats the report.
--
-- While the calls of a queue are short, the run holds the worker's next job ready, so that it need not
-- wait for this: _report says whether that was begun (started) or is given back (given_back). Then there
-- is no next job, but another one to be held ready, if _next asks for it (prefetch).
create or replace function supaqueue.report(
  _current_job uuid, _run uuid, _is_successful boolean, _report jsonb, _next jsonb
)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
  call supaqueue.current_job;
  other uuid;
  is_begun boolean := false;
  has_room boolean := false;
  handed_out record;
  next_record jsonb;
begin
  if _report ? 'given_back' then
    -- Before the call ends: its worker is not free.
    perform supaqueue.give_back(_run, supaqueue.ids(_report -> 'given_back'));
  end if;
  call := supaqueue.end_call_of(_run, _current_job);
  if call.id is null then
    if not supaqueue.is_alive(_run) then
      return supaqueue.answer('refused', 'this run is over: its lease ended, and its calls were given up');
    end if;
    handed_out := supaqueue.handed_out(_current_job, _run);
    return supaqueue.answer(
      'settled', null, supaqueue.record(handed_out.next_call), supaqueue.record(handed_out.held_call));
  end if;
  if _report ->> 'problem' is not null then
    -- The next job would have the same.
    _next := null;
  end if;
  if call.held is not null then
    other := (supaqueue.lock_call(call.held)).id;
    is_begun := coalesce(_report -> 'started' ? other::text, false);
    has_room := is_begun and _next -> 'prefetch' = 'true';
  end if;

  begin
    if call.is_complete then
      perform supaqueue.settle_again(call.queue, call.job);
    else
      perform supaqueue.settle_job(call.job, _is_successful, _report);
    end if;
    if other is null or has_room then
      next_record := supaqueue.hand_out_next_job(call, _next, other);
    end if;
  exception
    when others then
      -- One after the other: whichever failed must not undo the other.
      perform supaqueue.settle_or_note(call.job, call.queue, _is_successful, _report, can_be_repeated => true)
      where not call.is_complete;
      if other is null or has_room then
        next_record := supaqueue.try_hand_out_next_job(call, _next, other);
      end if;
  end;
  if other is not null then
    perform supaqueue.begin_held_call(other, (next_record #>> '{current_job,id}')::uuid) where is_begun;
    return supaqueue.answer('settled', held_record => next_record);
  elsif next_record is not null then
    return supaqueue.answer('settled', null, next_record, case
      when _next -> 'prefetch' = 'true' then supaqueue.hold_next_job(call, _next, (next_record #>> '{current_job,id}')::uuid)
    end);
  elsif _next is not null then
    other := (supaqueue.take_sent_calls(call.queue, _run, null, call.id, _next || '{"calls": 1}'))[1];
    next_record := supaqueue.record(other);
    if next_record is null then
      -- Somebody has just deleted its job.
      perform supaqueue.drop_call(supaqueue.end_call(other), '{"is_attempt": false}') where other is not null;
    else
      perform supaqueue.free_worker(call);
      return supaqueue.answer('settled', null, next_record);
    end if;
  end if;
  next_record := supaqueue.free_worker(call, _next);
  return supaqueue.answer('settled', null, next_record, null, case
    when next_record is null and _next is not null then supaqueue.again_in_ms(call.queue, 0, at)
  end);
end
$$;

-- Gives the run of a call that ended one more job of its worker, to be held ready behind the next one;
-- returns its record.
create or replace function supaqueue.hold_next_job(call supaqueue.current_job, _next jsonb, _behind uuid)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  held_record jsonb := supaqueue.try_hand_out_next_job(call, supaqueue.room_left(_next, array[_behind]), _behind);
begin
  perform supaqueue.begin_held_call(_behind, (held_record #>> '{current_job,id}')::uuid);
  return held_record;
end
$$;

-- Notes that a run has begun a call, which may have been held ready, and what it holds behind it.
create or replace function supaqueue.begin_held_call(_current_job uuid, _held uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update supaqueue.current_job c
  set state = 'started', held = _held
  where c.id = _current_job and (c.state <> 'started' or _held is not null);
end
$$;

-- Deletes the current job of a call that ended, and returns it, if a run that is not over has it.
create or replace function supaqueue.end_call_of(_run uuid, _current_job uuid)
returns supaqueue.current_job
language plpgsql
set search_path = ''
as $$
declare
  call supaqueue.current_job;
begin
  if supaqueue.is_alive(_run) then
    delete from supaqueue.current_job c
    where c.id = _current_job and c.run = _run
    returning c.* into call;
  end if;
  return call;
end
$$;

create or replace function supaqueue.end_call(_current_job uuid)
returns supaqueue.current_job
language plpgsql
set search_path = ''
as $$
declare
  call supaqueue.current_job;
begin
  delete from supaqueue.current_job c
  where c.id = _current_job
  returning c.* into call;
  return call;
end
$$;

-- The calls that a report of this run has handed out before; null if there are none.
create or replace function supaqueue.handed_out(_previous uuid, _run uuid, out next_call uuid, out held_call uuid)
language plpgsql
stable
set search_path = ''
as $$
begin
  select max(c.id::text) filter (where c.behind is null), max(c.id::text) filter (where c.behind is not null)
  into next_call, held_call
  from supaqueue.current_job c
  where c.previous = _previous and c.run = _run;
end
$$;
$migration$;

--- schema/65_report_together.sql

execute $migration$
-- Settles the jobs of several calls that a run reports in one request, and gives it the jobs to be held
-- ready next. Each step is one statement for all of them, which takes a third of the time of as many reports.
--
-- It takes what a busy queue reports most: the success of a lane that has begun the call that was held
-- ready behind it, and wants another one. There it does what report does for each. Returns the answers in the order of
-- the reports; null for one that has to be sent alone: it is of another kind, was sent before, or somebody
-- has locked its job. If anything fails, a trigger of the user's for example, nothing is settled, and each has
-- to be sent alone.
create or replace function supaqueue.report_together(_run uuid, _reports jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  locked record;
  records jsonb[];
  answers jsonb := '{}';
begin
  if supaqueue.is_alive(_run) then
    for locked in select l.* from supaqueue.lock_calls_to_report(_run, _reports) l loop
      perform supaqueue.settle_successes(locked.jobs, locked.reports);
      records := supaqueue.hold_next_jobs(
        locked.queue, _run, locked.calls, locked.workers, locked.held, locked.reports[:locked.to_follow]);
      answers := answers || (
        select jsonb_object_agg(a.call, supaqueue.answer('settled', held_record => a.record))
        from unnest(locked.calls, records) as a (call, record)
      );
    end loop;
  end if;
  return (
    select jsonb_agg(answers -> (r.report ->> 'cur_job_id') order by r.number)
    from jsonb_array_elements(_reports) with ordinality as r (report, number)
  );
end
$$;

-- Locks the calls of reports that can be settled together, and their jobs, and returns them by queue. Another call
-- may follow the first to_follow of them: their worker is still there, and the queue is not paused.
-- held: the calls that were held ready behind them, and have begun. "skip locked" can wait: see next_jobs.
create or replace function supaqueue.lock_calls_to_report(_run uuid, _reports jsonb)
returns table (
  queue supaqueue.queue, calls uuid[], workers uuid[], jobs uuid[], held uuid[], reports jsonb[], to_follow integer
)
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
begin
  return query
  select
    q, array_agg(l.id order by l.place), array_agg(l.worker order by l.place), array_agg(l.job order by l.place),
    array_agg(l.held order by l.place), array_agg(l.report order by l.place),
    (count(*) filter (where l.has_worker and not q.is_paused))::integer
  from (
    select
      c.*, r.report -> '_report' || jsonb_build_object('next', r.report -> '_next') as report, w.id is not null as has_worker,
      row_number() over (order by w.id is null, r.number) as place
    from jsonb_array_elements(_reports) with ordinality as r (report, number)
    cross join lateral (
      select o.id, o.queue, o.worker, o.job, o.held from supaqueue.current_job o
      where o.id = (r.report ->> 'cur_job_id')::uuid and o.run = _run and not o.is_complete
        and o.held = (r.report #>> '{_report,started,0}')::uuid
      for update skip locked
    ) c
    cross join lateral (
      select from supaqueue.current_job h where h.id = c.held for update skip locked
    ) h
    cross join lateral (
      select from supaqueue.job j where j.id = c.job and j.status = 'in_progress' for no key update skip locked
    ) j
    left join supaqueue.worker w on w.id = c.worker and w.queue = c.queue
    where r.report -> '_is_successful' = 'true' and r.report -> '_next' -> 'prefetch' = 'true'
  ) l
  join supaqueue.queue q on q.id = l.queue
  group by q.id
  order by q.id;
end
$$;

-- Sets jobs, which are locked and in progress, to successful. The statement is planned each time: a plan
-- that was made for a small table would read the whole of a large one, and settings against that would be seen
-- by users' triggers (see plan_settings).
create or replace function supaqueue.settle_successes(_jobs uuid[], reports jsonb[])
returns void
language plpgsql
set search_path = public, extensions
as $$
declare
  settled integer;
begin
  execute $sql$
    update supaqueue.job j
    set status = 'successful', http_status = (r.report ->> 'http_status')::integer,
      duration_ms = (r.report ->> 'duration_ms')::integer, result = r.report -> 'result'
    from unnest($1, $2) as r (id, report)
    where j.id = r.id
  $sql$ using _jobs, reports;
  get diagnostics settled = row_count;
  if settled < cardinality(_jobs) then
    perform supaqueue.refuse_skipped_update();
  end if;
end
$$;

-- Ends calls. The first of them, as many as there are reports, are followed by the next jobs of the queue,
-- which are held ready behind the calls that were held so far. Returns their records.
create or replace function supaqueue.hold_next_jobs(
  queue supaqueue.queue, _run uuid, calls uuid[], workers uuid[], _held uuid[], reports jsonb[]
)
returns jsonb[]
language plpgsql
set search_path = ''
as $$
declare
  started_at timestamptz := clock_timestamp();
  room jsonb;
  jobs uuid[];
  is_slow boolean;
  new_calls uuid[];
  records jsonb[];
begin
  select jsonb_build_object(
    'calls', count(*), 'within_ms', min((r.report #> '{next,within_ms}')::numeric), 'bytes', sum((r.report #> '{next,bytes}')::numeric))
  into room
  from unnest(reports) as r (report);
  jobs := supaqueue.jobs_that_fit(supaqueue.next_jobs(queue.id, cardinality(reports)), room, to_hold => true);
  is_slow := clock_timestamp() > started_at + interval '5 milliseconds';
  records := supaqueue.take_together(jobs);
  new_calls := array(select supaqueue.new_id() from unnest(jobs));
  insert into supaqueue.current_job (id, queue, worker, job, state, run, previous, behind)
  select n.id, queue.id, n.worker, n.job, 'held', _run, n.previous, n.behind
  from unnest(new_calls, workers, jobs, calls, _held) as n (id, worker, job, previous, behind)
  where n.id is not null;
  perform supaqueue.replace_calls(calls, _held, new_calls);
  if is_slow or random() < 0.01 * cardinality(jobs) then
    perform supaqueue.try_move_front(queue.id, jobs[1]);
  end if;
  return array(
    select supaqueue.record_of(n.id, n.record, queue)
    from unnest(new_calls, records) with ordinality as n (id, record, number)
    order by n.number
  );
end
$$;

-- Deletes calls, and notes that those held behind them have begun, and which ones are held behind these now.
create or replace function supaqueue.replace_calls(calls uuid[], _held uuid[], new_calls uuid[])
returns void
language plpgsql
set search_path = ''
as $$
begin
  delete from supaqueue.current_job c where c.id = any (calls);
  update supaqueue.current_job c
  set state = 'started', held = n.held
  from unnest(_held, new_calls) as n (id, held)
  where c.id = n.id;
end
$$;
$migration$;

--- schema/66_settle_by_hand.sql

execute $migration$
-- Settles the job of a call without a run's report. If a run makes the call, only the job is settled:
-- the worker stays locked until the run, which its next pulse tells, has aborted the call and reported
-- it, or is over. A job that is to be retried stays in progress until then.
create or replace function supaqueue.settle_by_hand(_current_job uuid, _is_successful boolean, _report jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  call supaqueue.current_job := supaqueue.lock_call(_current_job);
begin
  if call.id is null then
    return supaqueue.answer('refused', 'this current job is unknown, was settled, or was taken back');
  elsif call.run is not null then
    -- Setting is_complete comes back here, and finds the job settled.
    perform supaqueue.settle_or_note(call.job, call.queue, _is_successful, _report)
    where not supaqueue.is_settled(call.job);
    perform supaqueue.complete_call(call.id, _is_successful);
  else
    perform supaqueue.end_call(call.id);
    perform supaqueue.settle_or_note(call.job, call.queue, _is_successful, _report, can_be_repeated => true);
    perform supaqueue.free_worker(call);
  end if;
  return supaqueue.answer('settled');
end
$$;

-- Whether the job of a call was settled, or what it is to be settled as was noted.
create or replace function supaqueue.is_settled(_job uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return not exists (select from supaqueue.job j where j.id = _job and j.status = 'in_progress')
    or exists (select from supaqueue.unfinished u where u.job = _job and u.step = 'settle');
end
$$;

create or replace function supaqueue.complete_call(_current_job uuid, _is_successful boolean)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update supaqueue.current_job c
  set is_complete = true, is_successful = _is_successful
  where c.id = _current_job and not c.is_complete;
end
$$;
$migration$;

--- schema/67_end_current_job.sql

execute $migration$
-- Ends a call. It lives in public because PostgREST exposes that schema; only service_role may call it.
--
-- The first three arguments are enough to settle a job by hand. _is_complete false changes nothing, and
-- asks where the call stands. _report may hold:
--   run             the run that made the call; without it, the job is settled by hand
--   http_status     of the target function's answer
--   duration_ms     of the call
--   result          of a success, any JSON
--   error           of a failure: {"message": text, "body": text}
--   retry_after_ms  not to be retried earlier
--   is_final        true: failed at once
--   is_attempt      false: the target was never reached; the attempt is given back
--   problem         with is_attempt false, what keeps the target from being called, such as a missing key:
--                   it is shown by supaqueue.problem, and tried again with growing pauses
--   started         ids of calls that were held ready behind this one and that the run has begun
--   given_back      ids of those that it has not
-- _next, {"within_ms", "bytes", "prefetch"}, asks for the worker's next job, if its timeout and the size of its
-- payload are at most that; prefetch true also for a job to be held ready behind the one that runs next.
--
-- Returns {"accepted", "state": "settled" | "refused", "reason", "next", "held", "again_in_ms"}: the records of
-- the next job and of the one to hold ready, or in how many milliseconds to ask for one in a pulse (null: not at all). A report can be
-- repeated: it gets the same answer, the same next job included. "refused" means that the run is over.
create or replace function public.end_current_job(
  cur_job_id uuid,
  _is_complete boolean,
  _is_successful boolean,
  _report jsonb default '{}',
  _next jsonb default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  _run uuid := (_report ->> 'run')::uuid;
  call supaqueue.current_job;
begin
  if cur_job_id is null or _is_complete is null or (_is_complete and _is_successful is null) then
    raise exception 'cannot end a current job: cur_job_id, _is_complete and _is_successful must not be null'
      using errcode = 'null_value_not_allowed';
  elsif not _is_complete then
    call := supaqueue.lock_call(cur_job_id);
    if call.id is null then
      return supaqueue.answer('refused', 'this current job is unknown, was settled, or was taken back');
    end if;
    return supaqueue.answer(call.state);
  elsif _run is null then
    return supaqueue.settle_by_hand(cur_job_id, _is_successful, coalesce(_report, '{}'));
  end if;
  return supaqueue.report(cur_job_id, _run, _is_successful, _report, nullif(_next, 'null'));
end
$$;
comment on function public.end_current_job is 'Supaqueue: reports a call; used by the supaqueue function, with the service role key';

-- Ends several calls of a run in one transaction. _reports is a list of what end_current_job takes for each,
-- by the names of its arguments.
--
-- Returns a list of what it would return for each; null for a report that has to be sent by itself. An error
-- means that nothing was settled, and that each has to be sent by itself.
create or replace function public.end_current_jobs(_run uuid, _reports jsonb)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
begin
  return supaqueue.report_together(_run, _reports);
end
$$;
comment on function public.end_current_jobs is 'Supaqueue: reports several calls at once; used by the supaqueue function, with the service role key';

-- As in the original, marking a current job complete by hand settles it too.
create or replace function supaqueue.after_update_current_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform supaqueue.settle_by_hand(new.id, coalesce(new.is_successful, false), '{}');
  return null;
end
$$;

create or replace trigger after_update_current_job_tg
after update on supaqueue.current_job
for each row when (new.is_complete and not old.is_complete)
execute function supaqueue.after_update_current_job_tg_fn();
$migration$;

--- schema/68_pulse.sql

execute $migration$
-- A run's sign of life: see public.supaqueue_pulse. One at a time, numbered from 1: a higher number
-- than the last one may take calls, the same one gets the same calls again, a lower one changes
-- nothing.
create or replace function supaqueue.pulse(_run uuid, _number integer, _request jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  lease_ms integer := (supaqueue.settings()).run_lease_ms;
  turn text := supaqueue.renew_run(_run, _number, lease_ms);
  at timestamptz := clock_timestamp();
  limits jsonb := coalesce(nullif(_request -> 'limits', 'null'), '{}');
  started uuid[] := '{}';
  queue record;
  queues jsonb := '[]';
  calls uuid[];
  cancelled uuid[] := '{}';
  gone uuid[] := '{}';
  unwanted uuid[] := '{}';
  records jsonb := '[]';
  missing uuid[];
begin
  if turn = 'over' then
    return jsonb_build_object('accepted', false, 'reason', 'this run is over: its lease ended, and its calls were given up');
  elsif turn = 'late' then
    return '{"accepted": true, "started": [], "cancelled": [], "gone": [], "unwanted": [], "queues": []}';
  elsif turn = 'repeated' then
    started := supaqueue.claimed(_run, _number);
  else
    if _request ? 'give_back' then
      perform supaqueue.give_back(_run, supaqueue.ids(_request -> 'give_back'));
    end if;
    if _request ? 'acknowledge' then
      started := supaqueue.acknowledge(_run, _number, supaqueue.ids(_request -> 'acknowledge'), limits);
    end if;
  end if;

  for queue in
    select q.id, q.idle_ms
    from jsonb_to_recordset(coalesce(nullif(_request -> 'queues', 'null'), '[]')) as q (id uuid, idle_ms numeric)
    order by q.id
  loop
    if turn = 'new' then
      started := started || supaqueue.try_claim(queue.id, _run, _number, supaqueue.room_left(limits, started));
    end if;
    queues := queues || jsonb_build_object(
      'id', queue.id, 'again_in_ms', supaqueue.again_in_ms(queue.id, queue.idle_ms, at));
  end loop;

  calls := supaqueue.ids(_request -> 'calls') || started;
  if calls <> '{}' then
    select d.* into cancelled, gone, unwanted from supaqueue.dropped_calls(_run, calls) d;
  end if;
  if started <> '{}' then
    select
      coalesce(jsonb_agg(r.record order by s.number) filter (where r.record is not null), '[]'),
      array_agg(s.id) filter (where r.record is null)
    into records, missing
    from unnest(started) with ordinality as s (id, number)
    cross join lateral supaqueue.record(s.id) as r (record)
    where s.id <> all (cancelled);
  end if;
  return jsonb_build_object(
    'accepted', true,
    'lease_ms', lease_ms,
    'started', records,
    'cancelled', cancelled || missing,
    'gone', gone,
    'unwanted', unwanted,
    'queues', queues
  );
end
$$;

-- Renews the lease of a run. Returns what its pulse may do: 'new', 'repeated', 'late', or nothing ('over').
--
-- The time is taken when the row is written: a pulse that had to wait for it must not shorten the
-- lease.
create or replace function supaqueue.renew_run(_run uuid, _number integer, lease_ms integer)
returns text
language plpgsql
set search_path = ''
as $$
begin
  if _number = 1 then
    insert into supaqueue.run (id, number, lease_until)
    values (_run, 1, clock_timestamp() + supaqueue.ms(lease_ms))
    on conflict do nothing;
  else
    update supaqueue.run r
    set number = _number, lease_until = clock_timestamp() + supaqueue.ms(lease_ms)
    where r.id = _run and r.number < _number and not r.is_over;
  end if;
  if found then
    return 'new';
  end if;
  update supaqueue.run r
  set lease_until = clock_timestamp() + supaqueue.ms(lease_ms)
  where r.id = _run and r.number = _number and not r.is_over;
  return case when found then 'repeated' when supaqueue.is_alive(_run) then 'late' else 'over' end;
end
$$;

-- The calls that a pulse has claimed before.
create or replace function supaqueue.claimed(_run uuid, _number integer)
returns uuid[]
language plpgsql
stable
set search_path = ''
as $$
begin
  return array(
    select c.id from supaqueue.current_job c
    where c.run = _run and c.claimed_in = _number
    order by c.created_at, c.id
  );
end
$$;

-- Gives a run calls of a queue for which it waits: those that were sent, and the next jobs of free
-- workers, those of schedules that are due included. Returns their ids.
create or replace function supaqueue.claim(_queue uuid, _run uuid, _number integer, room jsonb)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  calls uuid[] := supaqueue.take_sent_calls(_queue, _run, _number, null, room);
  schedules uuid[] := supaqueue.due_schedules(_queue, 10);
begin
  perform supaqueue.run_step('schedule', s.id) from unnest(schedules) as s (id);
  room := supaqueue.room_left(room, calls);
  if supaqueue.fits(room, 0, 0) and (schedules <> '{}' or supaqueue.has_next_job(_queue)) and supaqueue.free_workers(_queue) > 0 then
    calls := calls || supaqueue.start_jobs(
      array[_queue], supaqueue.lock_to_start(array[_queue], '{}', false), _run, _number, room);
  end if;
  return calls;
end
$$;

-- The same; none if it fails. The tick does what is left then.
create or replace function supaqueue.try_claim(_queue uuid, _run uuid, _number integer, room jsonb)
returns uuid[]
language plpgsql
set search_path = ''
as $$
begin
  return supaqueue.claim(_queue, _run, _number, room);
exception
  when others then
    perform supaqueue.note_unfinished('start', _queue, null, sqlstate, sqlerrm);
    return '{}';
end
$$;

-- Which of the calls of a run have lost their job (cancelled, deleted, settled by hand), which are no calls
-- of the run, and which it should not hold ready any more: their queue is paused, or their worker gone.
create or replace function supaqueue.dropped_calls(
  _run uuid, _calls uuid[], out cancelled uuid[], out gone uuid[], out unwanted uuid[]
)
language plpgsql
stable
set search_path = ''
as $$
begin
  select
    coalesce(array_agg(x.id) filter (
      where c.id is not null and (c.is_complete or j.status is distinct from 'in_progress')), '{}'),
    coalesce(array_agg(x.id) filter (where c.id is null), '{}'),
    coalesce(array_agg(x.id) filter (
      where c.state = 'held' and (supaqueue.queue_of_worker(c.worker, c.queue)).id is null), '{}')
  into cancelled, gone, unwanted
  from unnest(_calls) as x (id)
  left join supaqueue.current_job c on c.id = x.id and c.run = _run
  left join supaqueue.job j on j.id = c.job;
end
$$;

create or replace function supaqueue.ids(list jsonb)
returns uuid[]
language plpgsql
immutable
set search_path = ''
as $$
begin
  return array(select jsonb_array_elements_text(coalesce(nullif(list, 'null'), '[]'))::uuid);
end
$$;
$migration$;

--- schema/69_supaqueue_pulse.sql

execute $migration$
-- The pulse of a run, for all its calls. It lives in public because PostgREST exposes that schema; only
-- service_role may call it. _request may hold:
--   protocol     2
--   acknowledge  ids of current jobs that dispatches have brought
--   calls        ids of those that the run has
--   queues       for which it waits for work and would take calls: [{"id", "idle_ms": since it had one}]
--   give_back    ids of calls that the run has and does not begin: no attempt is spent
--   limits       what it can take in all: {"calls", "bytes", "within_ms": the longest timeout that fits now,
--                "whole_ms": that fits a fresh isolate}
--
-- Returns {"accepted": true, "lease_ms", "started": records of calls to begin, "cancelled": ids of calls to
-- abort and report, "gone": ids that are no calls of the run, "unwanted": ids of calls to be given back
-- instead of being held ready, "queues": [{"id", "again_in_ms"}]}: a late
-- pulse gets empty lists and no lease. Or {"accepted": false, "reason"}: the run is over, and has to abort
-- everything.
create or replace function public.supaqueue_pulse(_run uuid, _number integer, _request jsonb default '{}')
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  protocol text := coalesce(_request ->> 'protocol', '2');
begin
  if _run is null or _number is null or _number < 1 then
    raise exception 'cannot take a pulse: _run must not be null, and _number counts from 1'
      using errcode = 'invalid_parameter_value';
  elsif protocol <> '2' then
    return jsonb_build_object('accepted', false, 'reason', format(
      'the supaqueue function speaks protocol %s, and the schema supaqueue speaks 2: upgrade the %s with %s',
      protocol, case when protocol ~ '^([3-9]|[1-9]\d+)$' then 'schema' else 'function' end, supaqueue.command('install')));
  end if;
  return supaqueue.pulse(_run, _number, coalesce(_request, '{}'));
end
$$;
comment on function public.supaqueue_pulse is 'Supaqueue: the sign of life of a run; used by the supaqueue function, with the service role key';
$migration$;

--- schema/70_schedule.sql

execute $migration$
-- Creates a schedule, or changes the one of that name: what is not given gets its default, and a pause
-- stays. Returns when it inserts a job next; null: it is paused.
create or replace function supaqueue.schedule(
  name text,
  queue_name text,
  cron text default null,
  every interval default null,
  timezone text default 'UTC',
  payload jsonb default '{}',
  headers jsonb default null,
  priority integer default 0,
  path text default null,
  timeout_ms integer default null,
  max_attempts integer default null,
  key text default null,
  missed text default 'last',
  catch_up_within interval default '1 day',
  overlap text default null,
  spread interval default '0',
  pause_after_failures integer default null,
  tenant text default null
)
returns timestamptz
language plpgsql
set search_path = ''
as $$
#variable_conflict use_column
declare
  due timestamptz;
begin
  insert into supaqueue.schedule as s (
    name, queue, cron, every, timezone, payload, headers, priority, path, timeout_ms, max_attempts, key,
    missed, catch_up_within, overlap, spread, pause_after_failures, tenant)
  values (
    schedule.name, supaqueue.queue_id(queue_name), schedule.cron, schedule.every, schedule.timezone, schedule.payload,
    schedule.headers, schedule.priority, schedule.path, schedule.timeout_ms, schedule.max_attempts, schedule.key,
    schedule.missed, schedule.catch_up_within, schedule.overlap, schedule.spread, schedule.pause_after_failures,
    schedule.tenant)
  on conflict (name) do update set
    queue = excluded.queue, cron = excluded.cron, every = excluded.every, timezone = excluded.timezone,
    payload = excluded.payload, headers = excluded.headers, priority = excluded.priority, path = excluded.path,
    timeout_ms = excluded.timeout_ms, max_attempts = excluded.max_attempts, key = excluded.key, missed = excluded.missed,
    catch_up_within = excluded.catch_up_within, overlap = excluded.overlap, spread = excluded.spread,
    pause_after_failures = excluded.pause_after_failures, tenant = excluded.tenant
  returning s.next_at into due;
  return due;
end
$$;
comment on function supaqueue.schedule is 'Creates or changes the schedule of that name, which inserts jobs by cron or every so often; returns when it does so next';

-- Deletes a schedule; its jobs stay. Returns whether there was one.
create or replace function supaqueue.unschedule(name text)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  delete from supaqueue.schedule s where s.name = unschedule.name;
  return found;
end
$$;
comment on function supaqueue.unschedule is 'Deletes the schedule of that name, not its jobs; returns whether there was one';

-- The schedule of that name, or an error that says what to do.
create or replace function supaqueue.schedule_named(name text)
returns supaqueue.schedule
language plpgsql
set search_path = ''
as $$
declare
  schedule supaqueue.schedule;
begin
  select s.* into schedule from supaqueue.schedule s where s.name = schedule_named.name;
  if schedule.id is null then
    raise exception 'there is no schedule named %', coalesce(quote_literal(name), 'null')
      using errcode = 'no_data_found', hint = 'Those there are: select name from supaqueue.schedule.';
  end if;
  return schedule;
end
$$;

-- The next times of a cron expression, to be looked at before it is used.
create or replace function supaqueue.next_times(
  cron text, timezone text default 'UTC', n integer default 5, after timestamptz default now()
)
returns setof timestamptz
language plpgsql
stable
security definer
set search_path = ''
as $$
declare
  parsed bigint[] := supaqueue.parse_cron(cron);
  at timestamptz := after;
begin
  timezone := supaqueue.timezone_named(timezone);
  for i in 1 .. least(n, 10000) loop
    at := supaqueue.next_time(parsed, null, timezone, at);
    exit when at is null;
    return next at;
  end loop;
end
$$;
comment on function supaqueue.next_times is 'The next times of a cron expression in a time zone: look at them before you use it';
$migration$;

--- schema/71_run_schedule.sql

execute $migration$
-- Inserts a job of a schedule now, whether it is due or paused; returns the job. With overlap skip and
-- replace: that of the job which has not ended, if there is one.
create or replace function supaqueue.run_schedule(name text)
returns uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
  schedule supaqueue.schedule := supaqueue.schedule_named(name);
  job uuid := supaqueue.insert_scheduled_job(schedule, clock_timestamp(), clock_timestamp(), schedule.overlap, supaqueue.new_id());
begin
  if job is null then
    return (supaqueue.holder_of(schedule.queue, supaqueue.key_of(schedule))).job;
  end if;
  update supaqueue.schedule s
  set last_job = job, recent_jobs = supaqueue.recent_jobs(array[job], s.recent_jobs)
  where s.id = schedule.id;
  return job;
end
$$;
comment on function supaqueue.run_schedule is 'Inserts a job of the schedule of that name now, once; returns it, or its job that has not ended';

-- Inserts the jobs of past times, "from" included and "to" not; returns those that it inserted. A time
-- whose job there is, is left out. Overlap does not matter.
create or replace function supaqueue.backfill(name text, "from" timestamptz, "to" timestamptz default now())
returns setof uuid
language plpgsql
security definer
set search_path = ''
as $$
declare
  schedule supaqueue.schedule := supaqueue.schedule_named(name);
  until timestamptz := least("to", clock_timestamp());
  at timestamptz := "from" - interval '1 microsecond';
  times timestamptz[] := '{}';
begin
  loop
    at := supaqueue.next_time(schedule.parsed, schedule.every, schedule.timezone, at);
    exit when at is null or at >= until;
    times := times || at;
    if cardinality(times) > 1000 then
      raise exception 'cannot insert more than 1000 jobs of the schedule % at once', quote_literal(name)
        using errcode = 'program_limit_exceeded', hint = format('The first 1000 are those before %s.', at);
    end if;
  end loop;
  return query
  select j.job
  from unnest(times) with ordinality as t (at, number)
  cross join lateral supaqueue.insert_scheduled_job(schedule, t.at, clock_timestamp(), 'allow') as j (job)
  where j.job is not null
  order by t.number;
end
$$;
comment on function supaqueue.backfill is 'Inserts the jobs of past times of a schedule that have none, at most 1000; returns their ids';
$migration$;

--- schema/72_run_now.sql

execute $migration$
-- Has a job run as soon as a worker of its queue is free, and says what happens now. A job that is due later, or was put
-- aside, is due now, one that is held by hand is released, and one that has ended runs again, with all its attempts. Its
-- place among the due jobs is that of its priority and of this moment.
create or replace function supaqueue.run_now(job uuid)
returns text
language plpgsql
set search_path = public, extensions
as $$
declare
  locked record := supaqueue.lock_job(job);
  place refcursor := locked.place;
  status text := locked.status;
  waits_for text;
begin
  if place is null then
    raise exception 'cannot run job %: there is no such job', coalesce(job::text, 'null')
      using errcode = 'no_data_found', hint = 'It was never committed, or it was deleted, as finished jobs are after a while.';
  end if;
  if status = 'waiting' and to_regprocedure('supaqueue.explain_waiting(uuid)') is not null then
    execute 'select supaqueue.explain_waiting($1)' into waits_for using job;
    if waits_for is not null then
      raise exception 'cannot run job %: %', job, lower(left(waits_for, 1)) || substr(rtrim(waits_for, '.'), 2)
        using errcode = 'object_not_in_prerequisite_state',
          hint = format('Delete the dependencies that it is not to wait for: delete from supaqueue.job_dependencies where target = %L;', job);
    end if;
  end if;
  if status <> 'in_progress' and (status <> 'pending' or supaqueue.is_held(job)) then
    update supaqueue.job j set status = 'pending', run_at = clock_timestamp() where current of place;
    if (supaqueue.lock_job(job)).status <> 'pending' then
      raise exception 'cannot run %', supaqueue.refusal('retry', null, job)
        using errcode = 'object_not_in_prerequisite_state', hint = 'It stays as it is. When the reason is gone, try again.';
    end if;
  end if;
  close place;
  return supaqueue.explain(job);
end
$$;
comment on function supaqueue.run_now is 'Has a job run as soon as a worker is free: one that is due later, is held, or has ended; returns what happens now';

-- Whether a job has a row in held_job.
create or replace function supaqueue.is_held(_job uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (select from supaqueue.held_job h where h.job = _job);
end
$$;
$migration$;

--- schema/73_schedule_tick.sql

execute $migration$
-- Schedules the tick with pg_cron, and makes it active if it was not: every 5 seconds, or
-- every minute where pg_cron is older than 1.5. Returns the schedule, or null without pg_cron.
create or replace function supaqueue.schedule_tick()
returns text
language plpgsql
security definer
set search_path = ''
as $$
declare
  schedule text := (
    select case
      when string_to_array(substring(e.extversion from '^\d+\.\d+'), '.')::integer[] >= array[1, 5] then '5 seconds'
      else '* * * * *'
    end
    from pg_catalog.pg_extension e
    where e.extname = 'pg_cron'
  );
begin
  if schedule is null and exists (
    select from pg_catalog.pg_proc p where p.proname = 'schedule' and p.pronamespace = to_regnamespace('cron')
  ) then
    schedule := '5 seconds';
  end if;
  if schedule is not null then
    perform cron.alter_job(cron.schedule('supaqueue_tick', schedule, supaqueue.tick_command()), active => true);
  end if;
  return schedule;
end
$$;
comment on function supaqueue.schedule_tick is 'Has pg_cron run the tick; without pg_cron, something else has to call supaqueue.tick() every few seconds';

-- A database that only migrations have built has no other occasion. One that is there stays as it is.
do $$
begin
  if to_regclass('cron.job') is null then
    return;
  elsif not exists (select from cron.job j where j.jobname = 'supaqueue_tick') then
    perform supaqueue.schedule_tick();
  end if;
exception
  when others then
    raise warning 'cannot schedule the tick: %', sqlerrm;
end
$$;
$migration$;

--- schema/80_chart.sql

execute $migration$
-- What ended in the last while, one row per step, the oldest first, from hour if the steps are whole hours, else
-- from minute. queue_name null: in all queues. Steps begin at multiples of their length since 2000-01-01 00:00 UTC; the last one holds the present.
create or replace function supaqueue.chart(queue_name text, since interval, step interval)
returns table (
  at timestamptz, started bigint, succeeded bigint, failed bigint, cancelled bigint, retried bigint, wait bigint[], run bigint[]
)
language plpgsql
stable
set search_path = ''
as $$
#variable_conflict use_column
declare
  _queue uuid := case when queue_name is null then '00000000-0000-0000-0000-000000000000' else supaqueue.queue_id(queue_name) end;
  origin constant timestamptz := '2000-01-01 00:00:00+00';
  seconds numeric := extract(epoch from step);
  first_at timestamptz;
  last_at timestamptz;
begin
  if seconds is null or seconds < 60 or seconds % 60 <> 0 or extract(month from step) <> 0 or extract(year from step) <> 0 then
    raise exception 'cannot chart in steps of %', coalesce(step::text, 'null')
      using errcode = 'invalid_parameter_value', hint = 'A step is a number of whole minutes, such as ''5 minutes'' or ''1 day''.';
  elsif since is null or since <= interval '0' or extract(epoch from since) / seconds > 10000 then
    raise exception 'cannot chart % in steps of %', coalesce(since::text, 'null'), step
      using errcode = 'invalid_parameter_value', hint = 'It must be more than nothing, and at most 10000 steps.';
  end if;
  last_at := date_bin(step, now(), origin);
  first_at := last_at - (ceil(extract(epoch from since) / seconds) - 1) * step;
  return query
  select
    first_at + s.number * step, coalesce(m.started, 0), coalesce(m.succeeded, 0), coalesce(m.failed, 0), coalesce(m.cancelled, 0),
    coalesce(m.retried, 0), coalesce(m.wait, array_fill(0::bigint, array[14])), coalesce(m.run, array_fill(0::bigint, array[14]))
  from generate_series(0, ceil(extract(epoch from since) / seconds)::integer - 1) as s (number)
  left join (
    select
      date_bin(step, n.at, origin) as at, sum(n.started) as started, sum(n.succeeded) as succeeded, sum(n.failed) as failed,
      sum(n.cancelled) as cancelled, sum(n.retried) as retried,
      -- One by one: unnesting the histograms takes ten times as long.
      array[sum(n.wait[1]), sum(n.wait[2]), sum(n.wait[3]), sum(n.wait[4]), sum(n.wait[5]), sum(n.wait[6]), sum(n.wait[7]),
        sum(n.wait[8]), sum(n.wait[9]), sum(n.wait[10]), sum(n.wait[11]), sum(n.wait[12]), sum(n.wait[13]), sum(n.wait[14])] as wait,
      array[sum(n.run[1]), sum(n.run[2]), sum(n.run[3]), sum(n.run[4]), sum(n.run[5]), sum(n.run[6]), sum(n.run[7]),
        sum(n.run[8]), sum(n.run[9]), sum(n.run[10]), sum(n.run[11]), sum(n.run[12]), sum(n.run[13]), sum(n.run[14])] as run
    from (
      select m.* from supaqueue.minute m where seconds % 3600 <> 0 and m.queue = _queue and m.at >= first_at
      union all
      select h.* from supaqueue.hour h where seconds % 3600 = 0 and h.queue = _queue and h.at >= first_at
    ) n
    group by 1
  ) m on m.at = first_at + s.number * step
  order by s.number;
end
$$;
comment on function supaqueue.chart is 'What ended in a queue (null: in all) in the last while, in steps such as 1 hour; empty ones too, the oldest first. Percentiles: see supaqueue.percentile()';

-- The value below which a fraction of a histogram of chart() lies, in milliseconds, as if the values between two bounds
-- were spread evenly; the last bound for what is above all; null for an empty histogram.
create or replace function supaqueue.percentile(histogram bigint[], fraction double precision)
returns double precision
language plpgsql
immutable
set search_path = ''
as $$
declare
  bounds constant integer[] := supaqueue.histogram_bounds();
  wanted double precision := least(greatest(fraction, 0), 1) * (select sum(h.number) from unnest(histogram) as h (number));
  below bigint := 0;
  lower integer := 0;
begin
  for i in 1 .. cardinality(bounds) loop
    if histogram[i] > 0 and below + histogram[i] >= wanted then
      return lower + (bounds[i] - lower) * (wanted - below) / histogram[i];
    end if;
    below := below + coalesce(histogram[i], 0);
    lower := bounds[i];
  end loop;
  return case when coalesce(wanted, 0) > 0 or histogram[cardinality(bounds) + 1] > 0 then lower end;
end
$$;
comment on function supaqueue.percentile is 'The value below which a fraction (0.95) of a histogram of supaqueue.chart() lies, in milliseconds, interpolated; null: it is empty';
$migration$;

--- schema/80_failure.sql

execute $migration$
-- The failed jobs by error_group. Bounded, whatever there is: the queues with the latest failures first, of
-- each the groups of its last 1,000 failures and 100 others, until there are max_groups. Each is counted up
-- to 100,001 jobs.
create or replace function supaqueue.failures(queue_name text default null, max_groups integer default 1000)
returns table (
  queue text, error_group text, jobs bigint, first_at timestamptz, last_at timestamptz, last_job uuid, http_status integer,
  message text
)
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
  select
    g.name, g.error_group, c.number, f.finished_at, l.finished_at, l.id,
    jsonb_path_query_first(l.errors -> -1, '$.status ? (@ >= 0 && @ <= 2147483647)')::integer,
    left(l.errors -> -1 ->> 'message', 500)
  from (
    select q.id, q.name, e.error_group
    from (
      select o.id, o.name, last.finished_at
      from supaqueue.queue o
      cross join lateral (
        select j.finished_at from supaqueue.job j
        where j.queue = o.id and j.ended_as = 'failed' and j.finished_at is not null
        order by j.finished_at desc
        limit 1
      ) last
      where failures.queue_name is null or o.name = failures.queue_name
      order by last.finished_at desc
    ) q
    cross join lateral (
      select r.error_group
      from (
        (
          select j.error_group, 1 as preference from supaqueue.job j
          where j.queue = q.id and j.ended_as = 'failed' and j.finished_at is not null
          order by j.finished_at desc
          limit 1000
        )
        union all
        (
          -- From one group to the next through the index.
          with recursive found (error_group) as (
            (
              select j.error_group from supaqueue.job j
              where j.queue = q.id and j.error_group is not null
              order by j.error_group
              limit 1
            )
            union all
            select (
              select j.error_group from supaqueue.job j
              where j.queue = q.id and j.error_group > found.error_group
              order by j.error_group
              limit 1
            )
            from found
            where found.error_group is not null
          )
          select f.error_group, 2 from found f where f.error_group is not null limit 100
        )
      ) r
      where r.error_group is not null
      group by r.error_group
      order by min(r.preference)
    ) e
    limit failures.max_groups
  ) g
  cross join lateral (
    select count(*) as number
    from (select from supaqueue.job j where j.queue = g.id and j.error_group = g.error_group limit 100001) n
  ) c
  cross join lateral (
    select j.finished_at from supaqueue.job j
    where j.queue = g.id and j.error_group = g.error_group
    order by j.finished_at
    limit 1
  ) f
  cross join lateral (
    select j.id, j.finished_at, j.errors from supaqueue.job j
    where j.queue = g.id and j.error_group = g.error_group
    order by j.finished_at desc
    limit 1
  ) l
  order by l.finished_at desc;
end
$$;
comment on function supaqueue.failures is 'The rows of the view failure, of one queue or (null) of all, at most so many';

create or replace view supaqueue.failure with (security_invoker = true) as
select * from supaqueue.failures();
comment on view supaqueue.failure is 'Failed jobs by cause: at most 1,000 groups, those of the latest failures first; jobs is counted up to 100,001';
comment on column supaqueue.failure.error_group is 'HTTP status and message without ids, numbers and quoted text: see supaqueue.error_group()';
comment on column supaqueue.failure.last_job is 'The job that failed last, with its HTTP status and message';
$migration$;

--- schema/80_queue_status.sql

execute $migration$
-- Jobs are counted up to 100,001 each: asking must not cost what a backlog of millions costs.
create or replace view supaqueue.queue_status with (security_invoker = true) as
select
  q.id,
  q.name,
  q.edge_function_name,
  q.is_paused,
  (select count(*) from supaqueue.worker w where w.queue = q.id) as workers,
  (select count(*) from supaqueue.worker w where w.queue = q.id and w.locked) as busy_workers,
  (select count(*) from (
    select from supaqueue.ready_job r where r.queue = q.id
    union all
    select from supaqueue.held_job h where h.queue = q.id and h.until < 'infinity'
    limit 100001
  ) c) as pending,
  (select count(*) from (select from supaqueue.held_job h where h.queue = q.id and h.until = 'infinity' limit 100001) c) as waiting,
  coalesce(c.number, 0) as in_progress,
  (select count(*) from (select from supaqueue.job j where j.queue = q.id and j.ended_as = 'successful' and j.finished_at is not null limit 100001) c) as successful,
  (select count(*) from (select from supaqueue.job j where j.queue = q.id and j.ended_as = 'failed' and j.finished_at is not null limit 100001) c) as failed,
  (select count(*) from (select from supaqueue.job j where j.queue = q.id and j.ended_as = 'cancelled' and j.finished_at is not null limit 100001) c) as cancelled
from supaqueue.queue q
left join (
  -- A call whose job was cancelled, or settled by hand, is left until its run reports. A job whose call
  -- has ended may wait for the tick to settle it.
  select c.queue, count(*) as number
  from (
    select o.queue, o.job from supaqueue.current_job o
    union
    select u.queue, u.job from supaqueue.unfinished u where u.step = 'settle' and u.job is not null
  ) c
  join supaqueue.job j on j.id = c.job and j.status = 'in_progress'
  group by c.queue
) c on c.queue = q.id;
comment on view supaqueue.queue_status is 'Each queue with its workers and its number of jobs per status; 100001 means more than 100,000';
$migration$;

--- schema/81_lock_problems.sql

execute $migration$
-- The sessions that hold locks of Supaqueue in an open transaction and do nothing. Reads none of the
-- tables that they may have locked, but for the names of queues, and goes on without those.
create or replace function supaqueue.lock_problems()
returns table (problem text, remedy text)
language plpgsql
stable
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  at timestamptz := clock_timestamp() - interval '30 seconds';
  session record;
  keys jsonb;
  held text;
begin
  for session in
    select a.pid, a.usename, a.application_name, a.state_change, left(regexp_replace(a.query, '\s+', ' ', 'g'), 80) as query
    from pg_catalog.pg_stat_activity a
    where a.datname = current_database() and a.state like 'idle in transaction%' and a.state_change < at
    order by a.state_change
    limit 100
  loop
    if keys is null then
      keys := supaqueue.lock_names();
    end if;
    select string_agg(distinct coalesce(l.relation::regclass::text, keys ->> supaqueue.lock_key(l.classid, l.objid)), ', ') into held
    from pg_catalog.pg_locks l
    left join pg_catalog.pg_class c on c.oid = l.relation and c.relkind = 'r' and c.relnamespace = 'supaqueue'::regnamespace
    where l.pid = session.pid and l.granted and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
      and (c.oid is not null and l.mode <> 'AccessShareLock' or l.locktype = 'advisory' and keys ? supaqueue.lock_key(l.classid, l.objid));
    continue when held is null;
    problem := format('a session has had a transaction open and idle since %s UTC, with locks on %s: process %s, %s%s; its last statement: %s',
      to_char(session.state_change at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'), held, session.pid, session.usename,
      ', ' || nullif(session.application_name, ''), session.query);
    remedy := format('End that transaction. If its program does not, run: select pg_terminate_backend(%s);', session.pid);
    return next;
  end loop;
end
$$;

-- What the advisory locks of Supaqueue are for, by their keys.
create or replace function supaqueue.lock_names()
returns jsonb
language plpgsql
stable
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  names jsonb := jsonb_build_object(hashtextextended('supaqueue.tick', 0), 'the tick');
begin
  return names || (
    select coalesce(jsonb_object_agg(hashtextextended('supaqueue.queue:' || q.id, 0), 'queue ' || q.name), '{}')
    from supaqueue.queue q
  );
exception
  when lock_not_available then
    return names;
end
$$;

-- The key of an advisory lock, as pg_locks shows its halves.
create or replace function supaqueue.lock_key(_high oid, _low oid)
returns text
language sql
immutable
set search_path = ''
as $$
  select ((_high::bigint << 32) | _low::bigint)::text
$$;
$migration$;

--- schema/81_problem.sql

execute $migration$
-- Why the tick does not run, or null.
create or replace function supaqueue.tick_problem(out problem text, out remedy text)
language plpgsql
stable
set search_path = ''
as $$
declare
  last supaqueue.last_tick;
  job record;
  alive_at timestamptz;
  when_it_ran text;
begin
  select t.* into last from supaqueue.last_tick t;
  -- A new installation and a server that has just started get the time for a first tick.
  alive_at := greatest(last.started_at, pg_postmaster_start_time(), (select max(v.applied_at) from supaqueue.version v));
  when_it_ran := coalesce('it last ran ' || supaqueue.ago(last.started_at), 'it has never run');
  if to_regclass('cron.job') is null then
    if alive_at < clock_timestamp() - interval '150 seconds' then
      problem := format('the tick does not run (%s), and the extension pg_cron is not installed', when_it_ran);
      remedy := 'Run: create extension pg_cron; select supaqueue.schedule_tick();';
    end if;
    return;
  end if;
  select j.active, j.schedule, j.command into job
  from cron.job j
  where j.jobname = 'supaqueue_tick'
  order by j.active and j.command ~ 'supaqueue\.tick(_step)?\(' desc
  limit 1;
  if not found then
    problem := format('the tick is not scheduled; %s', when_it_ran);
    remedy := 'Run: select supaqueue.schedule_tick();';
  elsif not job.active then
    problem := format('the tick is inactive in pg_cron; %s', when_it_ran);
    remedy := 'Run: select supaqueue.schedule_tick();';
  elsif job.command !~ 'supaqueue\.tick(_step)?\(' then
    problem := format('the job supaqueue_tick of pg_cron runs something else (%s)', left(job.command, 100));
    remedy := 'Run: select supaqueue.schedule_tick();';
  elsif alive_at < clock_timestamp() - interval '150 seconds'
    or alive_at < clock_timestamp() - interval '30 seconds' and job.schedule like '%second%'
  then
    problem := format('the tick is scheduled (%s) and does not run: %s', job.schedule, when_it_ran);
    remedy := 'pg_cron''s scheduler may have stopped: restart the database. See also: select * from cron.job_run_details order by runid desc limit 5;';
  elsif coalesce(last.finished_at, (select max(v.applied_at) from supaqueue.version v)) < last.started_at - interval '5 minutes' then
    problem := 'the tick starts and does not end: ' || coalesce('the last complete one ended ' || supaqueue.ago(last.finished_at), 'none has ever ended');
    remedy := 'See what it waits for: select pid, wait_event, query from pg_stat_activity where query like ''%supaqueue.tick%'';';
  end if;
end
$$;

create or replace function supaqueue.ago(at timestamptz)
returns text
language plpgsql
stable
set search_path = ''
as $$
begin
  return case
    when clock_timestamp() - at < interval '2 minutes' then ceil(extract(epoch from clock_timestamp() - at)) || ' s ago'
    else 'at ' || to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC'
  end;
end
$$;

-- The rows of the view problem. Looks at one thing after the other, and what it cannot look at is a
-- problem itself.
create or replace function supaqueue.problems()
returns table (queue text, job uuid, problem text, remedy text)
language plpgsql
security definer
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  subject text;
begin
  foreach subject in array array[
    'the Vault and pg_net', 'the settings', 'the tick', 'the locks', 'unfinished work', 'the schedules', 'the workers',
    'the calls', 'the answers'
  ] loop
    begin
      case subject
        when 'the Vault and pg_net' then
          return query
          select null::text, null::uuid, p.problem, p.remedy from supaqueue.dispatch_problem() p where p.problem is not null;
        when 'the settings' then
          return query
          select null::text, null::uuid, p.problem, p.remedy from supaqueue.setting_problems() p;
        when 'the tick' then
          return query
          select null::text, null::uuid, p.problem, p.remedy from supaqueue.tick_problem() p where p.problem is not null;
        when 'the locks' then
          return query
          select null::text, null::uuid, p.problem, p.remedy from supaqueue.lock_problems() p;
        when 'unfinished work' then
          return query
          select
            q.name, u.job,
            case when s.id is not null then format('the schedule %s ', s.name) else '' end || format('cannot %s: %s (failing since %s; tries: %s, the last one %s)',
              case u.step
                when 'start' then case when u.job is null then 'start jobs' else 'start this job' end
                when 'call' then 'call the target function for this job'
                when 'settle' then 'settle this job, whose call has ended'
                when 'on end' then format('insert the job for the end of this job into the queue %s', (select e.name from supaqueue.queue e where e.id = q.on_end))
                when 'take back' then 'take back lost calls'
                when 'admit' then 'admit jobs that have become due'
                when 'look after' then 'look after the queue'
                when 'schedule' then 'insert its jobs'
                when 'schedules' then 'insert the jobs of schedules'
                when 'operation' then format('go on with operation %s (%s)', o.id, o.action)
                when 'operate' then 'do operations'
                when 'end runs' then 'see which runs of the supaqueue function are over'
                when 'check' then 'check where jobs are'
                when 'pipelines' then 'go on with pipelines'
                when 'release' then case when u.job is null then 'release keys' else 'release the key of this job' end
                when 'count' then 'count the jobs that have ended'
                when 'delete' then case when u.job is null then 'delete finished jobs' else 'delete this job' end
                when 'purge' then 'delete the history of the tick'
                else u.step
              end,
              u.message, to_char(u.since at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'), u.tries, supaqueue.ago(u.tried_at)),
            case
              when u.step = 'delete' and u.sqlstate = '23503' then
                'A foreign key refers to the job. Declare it with "on delete cascade" or "on delete set null", or delete the rows that refer to it.'
              when u.sqlstate = '55P03' then
                'Another transaction holds a lock. Find it: select pid, state, query from pg_stat_activity where state like ''idle in transaction%'';'
              when u.sqlstate = '42501' then
                'A privilege is missing: grant it to the role postgres. It is tried again automatically.'
              when u.sqlstate = '42725' then
                'Another function that was added fits the call as well: drop it, or give it another name.'
              when u.step = 'schedule' and u.sqlstate = '22023' then
                format('Change what the message names: update supaqueue.schedule set timezone = ''Europe/Berlin'' where name = %L; for example. It is tried again automatically.', s.name)
              when u.step = 'schedule' then
                'Look for a trigger or a constraint of yours on supaqueue.job that raises this. It is tried again automatically.'
              when u.step = 'call' then
                'Do what the message says. It is tried again automatically, every 10 minutes at least.'
              when u.step = 'operation' then
                format('Do what the message says; it is tried again automatically. Or stop it: update supaqueue.operation set status = ''stopped'' where id = %L;', o.id)
              when u.step = 'on end' then
                format('Look for a trigger or a constraint of yours on supaqueue.job that raises this. It is tried again automatically. To do without: update supaqueue.queue set on_end = null where name = %L;', q.name)
              when u.job is not null then
                'Look for a trigger or a constraint of yours on supaqueue.job that raises this. It is tried again automatically.'
              else format('It is tried again automatically. If the message does not help, run %s.', supaqueue.command('doctor'))
            end
          from supaqueue.unfinished u
          left join supaqueue.schedule s on s.id = u.queue and u.step = 'schedule'
          left join supaqueue.operation o on o.id = u.queue and u.step = 'operation' and o.status = 'running'
          left join supaqueue.queue q on q.id = coalesce(s.queue, u.queue)
          where u.message is not null and (u.step <> 'schedule' or s.id is not null) and (u.step <> 'operation' or o.id is not null)
            -- While the target is called, it can be.
            and (u.step <> 'call' or (supaqueue.call_of(u.job)).state is distinct from 'started')
            -- That nothing can be sent is said once, above.
            and (u.sqlstate <> '55000' or (supaqueue.dispatch_problem()).problem is null)
            -- Conflicts are normal unless they last.
            and (u.sqlstate not in ('40001', '40P01', '55P03') or u.since < clock_timestamp() - interval '30 seconds')
          order by u.since
          limit 100;
        when 'the schedules' then
          return query
          select
            q.name, s.last_job,
            format('the schedule %s %s', s.name, case
              when s.is_paused then 'is paused: ' || s.paused_because
              when s.next_at is null then 'has no next time'
              else format('is due since %s, and another transaction has locked it', to_char(s.next_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'))
            end),
            case
              when s.is_paused then format('When the cause is gone, run: update supaqueue.schedule set is_paused = false where name = %L;', s.name)
              when s.next_at is null then format('Run: update supaqueue.schedule set timezone = timezone where name = %L;', s.name)
              else 'Find it: select pid, state, query from pg_stat_activity where state like ''idle in transaction%'';'
            end
          from supaqueue.schedule s
          join supaqueue.queue q on q.id = s.queue
          where s.paused_because is not null
            or s.next_at is null and not s.is_paused
            -- The last tick that ended has come to all that were due long before.
            or s.next_at < (select t.finished_at - interval '1 minute' from supaqueue.last_tick t)
              and not exists (select from supaqueue.unfinished u where u.queue = s.id and u.step = 'schedule')
          order by s.name
          limit 100;
        when 'the workers' then
          return query
          select q.name, null::uuid, 'the queue has no workers', format('Run: select supaqueue.set_workers(%L, 1);', q.name)
          from supaqueue.queue q
          where not exists (select from supaqueue.worker w where w.queue = q.id)
            and exists (select from supaqueue.ready_job r where r.queue = q.id);
        when 'the calls' then
          return query
          select
            q.name, c.job,
            format('sent to the supaqueue function %s times without being acknowledged; the last request: %s', c.dispatches, r.outcome),
            case r.outcome
              when 'pg_net has not sent it' then
                'pg_net is busy or has stopped. See: select url, count(*) from net.http_request_queue group by url; If that does not shrink, run: select net.worker_restart();'
              else
                format('See the logs of the function, and run %s. If it was answered with 202, the function may report to another project: compare the Vault''s supaqueue_url with the URL of this one.',
                  supaqueue.command('doctor'))
            end
          from supaqueue.current_job c
          join supaqueue.queue q on q.id = c.queue
          cross join lateral supaqueue.request_outcome(c.request_id, c.created_at) as r (outcome)
          where c.state = 'sent' and c.dispatches > 1
          order by c.id
          limit 100;
        when 'the answers' then
          return query
          select
            q.name, last.id, 'the target function answers with 401',
            format('If the answer is the gateway''s (see errors), set verify_jwt = false for it in supabase/config.toml and deploy it to this very project (`supabase functions deploy %s --project-ref <ref>`), or give the queue another auth.', q.edge_function_name)
          from supaqueue.queue q
          cross join lateral (
            select j.id, j.http_status, j.finished_at from supaqueue.job j
            where j.queue = q.id and j.ended_as = 'failed' and j.finished_at > now() - interval '1 hour'
            order by j.finished_at desc
            limit 1
          ) last
          where last.http_status = 401;
      end case;
    exception
      when others then
        return query
        select null::text, null::uuid, format('could not look at %s: %s', subject, sqlerrm), format('Run %s.', supaqueue.command('doctor'));
    end;
  end loop;
end
$$;

create or replace view supaqueue.problem with (security_invoker = true) as
select * from supaqueue.problems();
comment on view supaqueue.problem is 'Why jobs are not running, with remedies; empty if all is well';
$migration$;

--- schema/81_setting_problems.sql

execute $migration$
-- The settings of the database, and of the roles that Supaqueue's code runs as, under which nothing runs.
create or replace function supaqueue.setting_problems()
returns table (problem text, remedy text)
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
  select
    format('%s of %s is %s: %s', s.name, s.place, s.value, case s.name
      when 'session_replication_role' then 'no trigger fires, so no job starts'
      else 'no job can start or end'
    end),
    format('Run: begin; set transaction read write; alter %s reset %s; commit; It holds for new connections, so restart the database.', s.place, s.name)
  from supaqueue.settings_of_roles() s
  where s.name = 'session_replication_role' and s.value = 'replica'
    or s.name = 'default_transaction_read_only' and s.value in ('on', 'true', 'yes', '1');
  -- Not for a session that wants to be read-only itself.
  if not found and current_setting('default_transaction_read_only') = 'on' and exists (
    select from pg_catalog.pg_settings s where s.name = 'default_transaction_read_only' and s.source not in ('client', 'session')
  ) then
    problem := 'the database is read-only, as the platform makes it when the disk is full';
    remedy := 'Free space or enlarge the disk. See the database settings of the project.';
    return next;
  end if;
end
$$;

-- What `alter database` and `alter role` have set for the roles that Supaqueue's code runs as; place is
-- what stands between alter and set.
create or replace function supaqueue.settings_of_roles()
returns table (place text, name text, value text)
language sql
stable
set search_path = ''
as $$
  select
    case
      when s.setrole = 0 and s.setdatabase = 0 then 'role all'
      when s.setrole = 0 then format('database %I', current_database())
      else format('role %I%s', r.rolname, case when s.setdatabase <> 0 then format(' in database %I', current_database()) end)
    end,
    split_part(c.setting, '=', 1), substring(c.setting from '=(.*)')
  from pg_catalog.pg_db_role_setting s
  cross join unnest(s.setconfig) as c (setting)
  left join pg_catalog.pg_roles r on r.oid = s.setrole
  where s.setdatabase in (0, (select d.oid from pg_catalog.pg_database d where d.datname = current_database()))
    and (s.setrole = 0 or r.rolname in ('postgres', 'authenticator', 'service_role'))
$$;
$migration$;

--- schema/82_explain.sql

execute $migration$
-- Why a job is not running, in one plain sentence: the first reason that holds, from the job's own
-- to its queue's to the project's. Never fails.
create or replace function supaqueue.explain(job uuid)
returns text
language plpgsql
set search_path = ''
as $$
begin
  return supaqueue.reason(job);
exception
  when others then
    return 'It could not be found out: ' || sqlerrm;
end
$$;
comment on function supaqueue.explain is 'Why a job is not running, in one plain sentence';

-- Counts ten thousand jobs at most: asking must not cost what the backlog costs.
create or replace function supaqueue.reason(_id uuid)
returns text
language plpgsql
set search_path = ''
as $$
declare
  _job supaqueue.job;
  _queue supaqueue.queue;
  _call supaqueue.current_job;
  _until timestamptz;
  attempts text;
  workers bigint;
  free_workers bigint;
  jobs_before bigint;
  problem text;
  waits_for text;
  holder record;
  key_state text;
begin
  select j.* into _job from supaqueue.job j where j.id = _id;
  if not found then
    return 'There is no such job: it was never committed, or it was deleted, as finished jobs are after a while.';
  end if;
  select q.* into _queue from supaqueue.queue q where q.id = _job.queue;
  select c.* into _call from supaqueue.current_job c where c.job = _job.id;
  select h.until into _until from supaqueue.held_job h where h.job = _job.id;
  attempts := format('attempt %s of %s', _job.attempts, coalesce(_job.max_attempts, _queue.max_attempts));
  select format(' %s: %s.', case
      when p.job = _job.id then 'It has a problem'
      when p.queue is null then 'There is a problem'
      else 'Its queue has a problem'
    end, p.problem)
  into problem
  from supaqueue.problems() p
  where (p.queue is null or p.queue = _queue.name)
    -- Those keep jobs from being inserted, or operations from going on.
    and p.problem not like 'the schedule %'
    and p.problem not like 'cannot go on with operation %'
    and (p.job is null or p.job = _job.id or _job.status = 'pending' and p.problem like 'sent to%')
  order by p.job = _job.id desc nulls last, p.queue is null desc
  limit 1;

  if _job.key is not null and _job.ended_as is not null then
    holder := supaqueue.holder_of(_job.queue, _job.key);
    key_state := format(case
        when holder.until <= clock_timestamp() then null
        when holder.job <> _job.id then '; its key %L is held by job %s'
        when holder.until = 'infinity' then '; it holds its key %L as long as it is kept'
        else '; it holds its key %L until %3$s'
      end, _job.key, holder.job, date_trunc('second', holder.until));
  end if;
  case _job.status
    when 'successful' then
      return format('It has finished: successful since %s%s.', date_trunc('second', _job.finished_at), key_state);
    when 'failed' then
      return format('It has finished: failed since %s, after %s%s%s.', date_trunc('second', _job.finished_at), attempts,
        ': ' || (_job.errors -> -1 ->> 'message'), key_state);
    when 'cancelled' then
      return format('It has finished: cancelled since %s%s%s.', date_trunc('second', _job.finished_at),
        case _call.state
          when 'sent' then '; its call will not begin'
          when 'held' then '; its call will not begin'
          when 'started' then '; the run that makes its call aborts it at its next pulse'
        end,
        coalesce(': ' || substring(_job.errors -> -1 ->> 'message' from '^superseded by .*'), key_state));
    when 'in_progress' then
      return case
        when _call.id is null and exists (select from supaqueue.unfinished u where u.job = _job.id and u.step = 'settle') then
          format('Its call has ended, and the job could not be settled yet; the tick tries again.%s', problem)
        when _call.id is null then
          'It is in_progress without a call: a later tick counts that as a lost attempt.'
        when _call.state = 'sent' then
          format('It was sent to the supaqueue function (%s, since %s, on worker %s) and not acknowledged yet; it is sent again after %s.%s',
            attempts, date_trunc('second', _job.started_at), _call.worker, date_trunc('second', _call.lease_until), problem)
        when _call.is_complete then
          'It was settled by hand, and is retried when the run that makes its call has aborted it, at its next pulse.'
        when not exists (select from supaqueue.run r where r.id = _call.run and not r.is_over) then
          format('The run that made its call is over: the next tick counts a lost attempt (%s) and starts it again.', attempts)
        when _call.state = 'held' then
          format('A run of the supaqueue function holds it ready, as the next call of worker %s (%s).', _call.worker, attempts)
        else
          format('It is running: %s, since %s, on worker %s.', attempts, date_trunc('second', _job.started_at), _call.worker)
      end;
    when 'waiting' then
      if to_regprocedure('supaqueue.explain_waiting(uuid)') is not null then
        execute 'select supaqueue.explain_waiting($1)' into waits_for using _job.id;
        if waits_for is not null then
          return waits_for;
        end if;
      end if;
      return format('It is held until somebody releases it: update supaqueue.job set status = ''pending'' where id = %L;', _job.id);
    else
      null;
  end case;

  if _job.run_at > clock_timestamp() then
    return format('It is due at %s%s.%s', date_trunc('second', _job.run_at),
      case when _job.attempts > 0 then format(', for a retry after %s failed', attempts) end, problem);
  elsif exists (select from supaqueue.unfinished u where u.job = _job.id and u.step = 'start') then
    return format('It could not be started, and is tried again after %s.%s', date_trunc('second', _until), problem);
  elsif _queue.is_paused then
    return format('Its queue is paused: update supaqueue.queue set is_paused = false where name = %L;', _queue.name);
  end if;

  select count(*), count(*) filter (where not w.locked) into workers, free_workers
  from supaqueue.worker w
  where w.queue = _queue.id;
  if workers = 0 then
    return format('Its queue has no workers: select supaqueue.set_workers(%L, 1);', _queue.name);
  elsif free_workers = 0 then
    jobs_before := (
      select count(*) from (
        select from supaqueue.ready_job r
        where r.queue = _queue.id and (r.priority, r.run_at, r.position) < (_job.priority, _job.run_at, _job.position)
        limit 10001
      ) due
    );
    return format('All workers of its queue are busy (%s of %s), and %s due jobs are before it.%s', workers, workers,
      case when jobs_before > 10000 then 'more than 10000' else jobs_before::text end, problem);
  elsif problem is not null then
    return format('It is due, and was not started.%s', problem);
  elsif exists (select from supaqueue.unfinished u where u.queue = _queue.id and u.step = 'start' and u.job is null) then
    return 'It is due, and was left to the next tick.';
  end if;
  return 'It is due and about to start, at the next tick at the latest; the tick runs every few seconds'
    || coalesce(' and last ran ' || (select supaqueue.ago(t.started_at) from supaqueue.last_tick t), '') || '.';
end
$$;
$migration$;

--- schema/83_list_jobs.sql

execute $migration$
-- A page of the jobs that match a filter (see check_filter and find_jobs).
--
-- Returns {"jobs": […], "next": text or null, "examined": number}. "next" is the cursor of the next page. A page
-- looks at 10,000 jobs at most, so it may have fewer jobs than asked for, or none, and still a next one.
create or replace function supaqueue.list_jobs(filter jsonb default '{}', page_size integer default 50, "cursor" text default null)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  f jsonb := supaqueue.check_filter(filter);
  page record;
begin
  if page_size is null or page_size not between 1 and 1000 then
    raise exception 'cannot list jobs: page_size is %', coalesce(page_size::text, 'null')
      using errcode = 'invalid_parameter_value', hint = 'It is between 1 and 1000.';
  end if;
  page := supaqueue.find_jobs(f, supaqueue.read_cursor("cursor", f), page_size, 10000, false);
  return jsonb_build_object(
    'jobs', supaqueue.job_summaries(page.jobs),
    'next', supaqueue.write_cursor(page.next, f),
    'examined', page.examined);
end
$$;
comment on function supaqueue.list_jobs is 'A page of the jobs that match a filter such as {"queue": "emails", "status": "failed"}; "next" is the cursor of the next page';

create or replace function supaqueue.job_summaries(_jobs uuid[])
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
      'id', j.id, 'queue', q.name, 'status', j.status, 'key', j.key, 'tenant', j.tenant, 'priority', j.priority, 'run_at', j.run_at,
      'created_at', j.created_at, 'started_at', j.started_at, 'finished_at', j.finished_at, 'attempts', j.attempts,
      'max_attempts', coalesce(j.max_attempts, q.max_attempts), 'http_status', j.http_status, 'duration_ms', j.duration_ms,
      'error_group', j.error_group, 'error', left(j.errors -> -1 ->> 'message', 500)) order by l.number), '[]')
    from unnest(_jobs) with ordinality as l (id, number)
    cross join lateral (select o.* from supaqueue.job o where o.id = l.id offset 0) j
    join supaqueue.queue q on q.id = j.queue
  );
end
$$;

-- A cursor is a place of find_jobs, and a part of the digest of the filter, without which it means nothing.
create or replace function supaqueue.write_cursor(place jsonb, f jsonb)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  return translate(encode(convert_to((place || jsonb_build_object('filter', left(md5(f::text), 8)))::text, 'UTF8'), 'base64'), E'+/=\n', '-_');
end
$$;

create or replace function supaqueue.read_cursor("cursor" text, f jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  place jsonb;
begin
  if "cursor" is null then
    return null;
  end if;
  begin
    place := convert_from(decode(rpad(translate("cursor", '-_', '+/'), (length("cursor") + 3) / 4 * 4, '='), 'base64'), 'UTF8');
    perform (place ->> 'id')::uuid, (place ->> 'at')::timestamptz;
  exception
    when data_exception then place := null;
  end;
  if jsonb_typeof(place) is distinct from 'object' or place ->> 'segment' is null then
    raise exception 'cannot list jobs: the cursor % is malformed', quote_literal(left("cursor", 100))
      using errcode = 'invalid_parameter_value', hint = 'Pass "next" of the page before; null for the first page.';
  elsif place ->> 'filter' is distinct from left(md5(f::text), 8) then
    raise exception 'cannot list jobs: the cursor belongs to another filter'
      using errcode = 'invalid_parameter_value', hint = 'Start with the first page of this filter: pass null.';
  end if;
  return place - 'filter';
end
$$;
$migration$;

--- schema/83_metrics.sql

execute $migration$
-- Counters, gauges and histograms of all queues as OpenMetrics text
-- (https://prometheus.io/docs/specs/om/open_metrics_spec/). Counters come from counted, which only grows; what is counted
-- now is counted up to 100,001, as in queue_status.
create or replace function supaqueue.metrics()
returns text
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
  bounds constant integer[] := supaqueue.histogram_bounds();
begin
  return (
    with queues as materialized (
      select
        q.name, q.is_paused, c.*,
        format('queue="%s"', replace(replace(replace(q.name, '\', '\\'), '"', '\"'), chr(10), '\n')) as label,
        (select count(*) from (select from supaqueue.ready_job r where r.queue = q.id limit 100001) n) as pending,
        (select count(*) from (select from supaqueue.held_job h where h.queue = q.id and h.until < 'infinity' limit 100001) n) as scheduled,
        (select count(*) from (select from supaqueue.held_job h where h.queue = q.id and h.until = 'infinity' limit 100001) n) as waiting,
        coalesce(p.number, 0) as in_progress,
        (select count(*) from supaqueue.worker w where w.queue = q.id) as workers,
        (select count(*) from supaqueue.worker w where w.queue = q.id and w.locked) as busy,
        (supaqueue.oldest_due(q.id)).run_at as oldest_due
      from supaqueue.queue q
      left join supaqueue.counted c on c.queue = q.id
      left join (
        select s.queue, count(*) as number
        from supaqueue.current_job s
        join supaqueue.job j on j.id = s.job and j.status = 'in_progress'
        group by s.queue
      ) p on p.queue = q.id
    ),
    families (place, name, type, unit, help) as (
      values
        (1, 'supaqueue_jobs_ended', 'counter', null, 'Jobs that ended'),
        (2, 'supaqueue_attempts', 'counter', null, 'Attempts of the jobs that ended'),
        (3, 'supaqueue_retries', 'counter', null, 'Attempts after the first one, of the jobs that ended'),
        (4, 'supaqueue_wait_seconds', 'histogram', 'seconds', 'From when the last attempt of a job that ended was due to its start'),
        (5, 'supaqueue_run_seconds', 'histogram', 'seconds', 'Duration of the last attempt of a job that ended'),
        (6, 'supaqueue_jobs', 'gauge', null, 'Jobs that have not ended: pending (may run now), scheduled (due later, also for a retry), waiting (held), in_progress; each counted up to 100001'),
        (7, 'supaqueue_workers', 'gauge', null, 'Workers'),
        (8, 'supaqueue_workers_busy', 'gauge', null, 'Workers that process a job'),
        (9, 'supaqueue_oldest_due_job_age_seconds', 'gauge', 'seconds', 'How long the job that waits longest has been due; 0: none is'),
        (10, 'supaqueue_queue_paused', 'gauge', null, '1: the queue is paused'),
        (11, 'supaqueue_tick_age_seconds', 'gauge', 'seconds', 'Time since the last tick'),
        (12, 'supaqueue_problems', 'gauge', null, 'Rows of the view supaqueue.problem')
    ),
    samples (family, queue, number, sample) as (
      select f.name, q.name, s.number, format('%s{%s%s} %s', f.name || s.suffix, q.label, s.labels, s.value)
      from queues q
      cross join families f
      cross join lateral (
        select 1, '_total', ',status="successful"', coalesce(q.succeeded, 0)::text where f.place = 1
        union all
        select 2, '_total', ',status="failed"', coalesce(q.failed, 0)::text where f.place = 1
        union all
        select 3, '_total', ',status="cancelled"', coalesce(q.cancelled, 0)::text where f.place = 1
        union all
        select 1, '_total', '', coalesce(q.started, 0)::text where f.place = 2
        union all
        select 1, '_total', '', coalesce(q.retried, 0)::text where f.place = 3
        union all
        select b.number, '_bucket', format(',le="%s"', case
            when bounds[b.number] % 1000 = 0 then bounds[b.number] / 1000 || '.0'
            else coalesce(trim_scale(bounds[b.number] / 1000.0)::text, '+Inf')
          end),
          sum(coalesce((case f.place when 4 then q.wait else q.run end)[b.number], 0)) over (order by b.number)::text
        from generate_series(1, cardinality(bounds) + 1) as b (number)
        where f.place in (4, 5)
        union all
        select 100, '_count', '', (select coalesce(sum(h.number), 0) from unnest(case f.place when 4 then q.wait else q.run end) as h (number))::text
        where f.place in (4, 5)
        union all
        select 101, '_sum', '', trim_scale(coalesce(case f.place when 4 then q.wait_ms else q.run_ms end, 0) / 1000.0)::text where f.place in (4, 5)
        union all
        select g.number, '', format(',status="%s"', g.status), g.value::text
        from (values
          (1, 'pending', q.pending), (2, 'scheduled', q.scheduled), (3, 'waiting', q.waiting), (4, 'in_progress', q.in_progress)
        ) as g (number, status, value)
        where f.place = 6
        union all
        select 1, '', '', g.value
        from (values
          (7, q.workers::text), (8, q.busy::text),
          (9, round(greatest(extract(epoch from at - q.oldest_due), 0), 3)::text), (10, q.is_paused::integer::text)
        ) as g (place, value)
        where f.place = g.place
      ) as s (number, suffix, labels, value)
      union all
      select 'supaqueue_tick_age_seconds', '', 1, format('supaqueue_tick_age_seconds %s', round(extract(epoch from at - t.started_at), 3))
      from supaqueue.last_tick t
      where t.started_at is not null
      union all
      select 'supaqueue_problems', '', 1, format('supaqueue_problems %s', (select count(*) from supaqueue.problems()))
    )
    select string_agg(f.text, '' order by f.place) || '# EOF' || chr(10)
    from (
      select
        f.place,
        format('# TYPE %s %s', f.name, f.type) || chr(10) || coalesce('# UNIT ' || f.name || ' ' || f.unit || chr(10), '')
          || format('# HELP %s %s', f.name, f.help) || chr(10)
          || string_agg(s.sample || chr(10), '' order by s.queue, s.number) as text
      from families f
      join samples s on s.family = f.name
      group by f.place, f.name, f.type, f.unit, f.help
    ) f
  );
end
$$;
comment on function supaqueue.metrics is 'Counters, gauges and histograms of all queues as OpenMetrics text, for Prometheus and others';

-- The due job of a queue that has waited longest; null: there is none. Looks at 100 priorities.
create or replace function supaqueue.oldest_due(_queue uuid)
returns supaqueue.ready_job
language plpgsql
stable
set search_path = ''
as $$
declare
  place supaqueue.ready_job;
  oldest supaqueue.ready_job;
begin
  for i in 1 .. 100 loop
    select r.* into place
    from supaqueue.ready_job r
    where r.queue = _queue and r.priority > coalesce(place.priority::bigint, -2147483649)
    order by r.priority, r.run_at, r.position
    limit 1;
    exit when not found;
    if oldest.run_at is null or place.run_at < oldest.run_at then
      oldest := place;
    end if;
  end loop;
  return oldest;
end
$$;
$migration$;

--- schema/83_preview.sql

execute $migration$
-- How many jobs an operation with this action, filter and changes would act on, counted up to 100,001, and among the newest
-- 50,000 where a job must be read to know: is_exact false means "more than". Refuses what the insertion of the operation
-- would refuse.
create or replace function supaqueue.preview(
  action text, filter jsonb, changes jsonb default null, out matching bigint, out is_exact boolean
)
language plpgsql
stable
set search_path = ''
as $$
declare
  most constant integer := 100001;
  budget integer := 50000;
  f jsonb := supaqueue.operation_plan(action, filter, changes);
  segment text;
  conditions text;
  counted record;
begin
  matching := 0;
  is_exact := true;
  foreach segment in array supaqueue.filter_segments(f) loop
    conditions := supaqueue.filter_conditions(f, segment);
    execute format(
      'select count(*) as number, max(m.n) as examined
       from (select w.n from (select fits, row_number() over () as n from (%s limit %s) segment) w where w.fits limit %s) m',
      supaqueue.segment_query(segment, f, null, false), case when conditions is null then most else budget + 1 end, most - matching)
    into counted;
    matching := matching + counted.number;
    if conditions is not null then
      budget := budget - coalesce(counted.examined, 0);
    end if;
    is_exact := is_exact and budget >= 0 and matching < most;
    exit when not is_exact;
  end loop;
end
$$;
comment on function supaqueue.preview is 'How many jobs an operation would act on; is_exact false: more than that';
$migration$;

--- schema/83_show_job.sql

execute $migration$
-- All that there is to show of a job: see docs/reference.md. Null if there is no such job. However large the job is, what
-- this returns is bounded: of payload and result the first 100,000 characters, of errors the last 100 with 10,000 each, of sources and
-- targets the first 100.
create or replace function supaqueue.show_job(job uuid)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  _job supaqueue.job;
  payload text;
  result text;
  errors jsonb;
  edges jsonb := '{}';
begin
  select j.* into _job from supaqueue.job j where j.id = show_job.job;
  if not found then
    return null;
  end if;
  payload := _job.payload::text;
  result := _job.result::text;
  errors := _job.errors;
  _job.payload := '{}';
  _job.result := null;
  _job.errors := '[]';
  if to_regclass('supaqueue.job_dependencies') is not null then
    execute 'select jsonb_build_object(''sources'', supaqueue.edges_of($1, ''source''), ''targets'', supaqueue.edges_of($1, ''target''))'
    into edges using _job.id;
  end if;
  return jsonb_build_object(
    'explain', supaqueue.explain(_job.id),
    'job', to_jsonb(_job) - array['payload', 'result', 'errors'] || jsonb_build_object(
      'payload_text', left(payload, 100000), 'payload_bytes', octet_length(payload),
      'result_text', left(result, 100000), 'result_bytes', octet_length(result)),
    'queue', (select q.name from supaqueue.queue q where q.id = _job.queue),
    'attempts', supaqueue.attempts_of(_job, errors),
    'call', (
      select jsonb_build_object('state', c.state, 'worker', c.worker, 'run', c.run,
        'lease_until', coalesce(c.lease_until, (select r.lease_until from supaqueue.run r where r.id = c.run)), 'dispatches', c.dispatches)
      from supaqueue.current_job c
      where c.job = _job.id
    ),
    'sources', coalesce(edges -> 'sources', '[]'),
    'targets', coalesce(edges -> 'targets', '[]'),
    'schedule', (
      select s.name from supaqueue.schedule s where supaqueue.percent_encoded(s.name) = _job.headers ->> 'supaqueue-schedule' limit 1
    )
  );
end
$$;
comment on function supaqueue.show_job is 'All that there is to show of a job: why it does not run, its columns, attempts, call, sources and targets';

-- The attempts of a job, the first one first: those that failed, and the last one.
create or replace function supaqueue.attempts_of(job supaqueue.job, errors jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  attempts jsonb := (
    select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'attempt', e.entry -> 'attempt', 'at', e.entry -> 'at', 'status', e.entry -> 'status', 'message', left(e.entry ->> 'message', 10000),
      'body', left(e.entry ->> 'body', 10000))) order by e.number), '[]')
    from jsonb_array_elements(errors) with ordinality as e (entry, number)
    where e.number > jsonb_array_length(errors) - 100
  );
  last_at timestamptz;
begin
  begin
    last_at := (attempts -> -1 ->> 'at')::timestamptz;
  exception
    when data_exception then null;
  end;
  if job.attempts = 0 or job.started_at is null then
    null;
  elsif attempts -> -1 ->> 'attempt' = job.attempts::text and last_at >= job.started_at then
    attempts := jsonb_set(attempts, '{-1}', attempts -> -1
      || jsonb_strip_nulls(jsonb_build_object('started_at', job.started_at, 'duration_ms', job.duration_ms)));
  elsif job.status not in ('pending', 'waiting') then
    attempts := attempts || jsonb_strip_nulls(jsonb_build_object('attempt', job.attempts, 'at', job.finished_at, 'started_at', job.started_at,
      'status', case when job.status = 'successful' then job.http_status end,
      'duration_ms', case when job.status = 'successful' then job.duration_ms end));
  end if;
  return attempts;
end
$$;
$migration$;

--- schema/84_explain_schedule.sql

execute $migration$
-- When a schedule inserts its next job, or why it does not, in one plain sentence.
create or replace function supaqueue.explain_schedule(name text)
returns text
language plpgsql
security definer
set search_path = ''
as $$
declare
  schedule supaqueue.schedule;
  queue supaqueue.queue;
  message text;
begin
  select s.* into schedule from supaqueue.schedule s where s.name = explain_schedule.name;
  if schedule.id is null then
    return 'There is no such schedule.';
  end if;
  select q.* into queue from supaqueue.queue q where q.id = schedule.queue;
  select u.message into message from supaqueue.unfinished u where u.queue = schedule.id and u.step = 'schedule';
  if schedule.is_paused then
    return format('It is paused%s: update supaqueue.schedule set is_paused = false where name = %L;', ', because ' || schedule.paused_because, name);
  elsif message is not null then
    return format('Its jobs cannot be inserted: %s. It is tried again automatically.', message);
  elsif schedule.next_at is null then
    return format('It has no next time: update supaqueue.schedule set timezone = timezone where name = %L;', name);
  end if;
  return format('Next run at %s (%s%s).%s', to_char(schedule.next_at at time zone schedule.timezone, 'YYYY-MM-DD HH24:MI:SS'), schedule.timezone,
    case when schedule.timezone <> 'UTC' then to_char(schedule.next_at at time zone 'UTC', '", "YYYY-MM-DD HH24:MI:SS "UTC"') else '' end,
    case when queue.is_paused then ' Its queue is paused: the job will wait.' else '' end);
exception
  when others then
    return 'It could not be found out: ' || sqlerrm;
end
$$;
comment on function supaqueue.explain_schedule is 'When a schedule inserts its next job, or why it does not, in one plain sentence';
$migration$;

--- schema/85_queue_id.sql

execute $migration$
-- The id of a queue by its name, or an error that says what to do.
create or replace function supaqueue.queue_id(queue_name text)
returns uuid
language plpgsql
stable
set search_path = ''
as $$
declare
  id uuid := (select q.id from supaqueue.queue q where q.name = queue_name);
begin
  if id is null and not has_table_privilege('supaqueue.job', 'insert') then
    raise exception 'permission denied: % may not insert jobs', current_user
      using errcode = 'insufficient_privilege',
        hint = 'Call this from a function that is "security definer" and owned by postgres, with a fixed search_path.';
  end if;
  if id is null then
    raise exception 'there is no queue named %', coalesce(quote_literal(queue_name), 'null')
      using errcode = 'undefined_object',
        hint = 'Create it: insert into supaqueue.queue (name, edge_function_name) values (…). The existing ones: select name from supaqueue.queue.';
  end if;
  return id;
end
$$;
$migration$;

--- schema/86_enqueue.sql

execute $migration$
create or replace function supaqueue.enqueue(
  queue_name text,
  payload jsonb default '{}',
  priority integer default 0,
  run_at timestamptz default now(),
  headers jsonb default null,
  max_attempts integer default null,
  timeout_ms integer default null,
  path text default null,
  key text default null,
  on_conflict text default 'keep',
  tenant text default null
)
returns uuid
language plpgsql
set search_path = public, extensions
as $$
declare
  new_job uuid;
begin
  if key is null and on_conflict = 'keep' then
    insert into supaqueue.job as j (queue, payload, priority, run_at, headers, max_attempts, timeout_ms, path, tenant)
    values (supaqueue.queue_id(queue_name), payload, priority, run_at, headers, max_attempts, timeout_ms, path, tenant)
    returning j.id into new_job;
    return new_job;
  end if;
  return (supaqueue.enqueue_outcome(
    queue_name, payload, priority, run_at, headers, max_attempts, timeout_ms, path, key, on_conflict, tenant)).job;
end
$$;
comment on function supaqueue.enqueue(text, jsonb, integer, timestamptz, jsonb, integer, integer, text, text, text, text) is
  'Puts a job in the queue of that name; returns its id, or that of the job that holds its key already';

-- The same, and says what happened: the job was inserted, or the holder of its key was kept, replaced,
-- postponed or merged, as on_conflict says. Only a holder that has not started is changed.
--
-- The holder may start, end or be deleted between a look at it and the next step: then it begins
-- again, so that what it says is true.
create or replace function supaqueue.enqueue_outcome(
  queue_name text,
  payload jsonb default '{}',
  priority integer default 0,
  run_at timestamptz default now(),
  headers jsonb default null,
  max_attempts integer default null,
  timeout_ms integer default null,
  path text default null,
  key text default null,
  on_conflict text default 'keep',
  tenant text default null,
  out job uuid,
  out outcome text
)
language plpgsql
set search_path = public, extensions
as $$
#variable_conflict use_column
declare
  _queue uuid := supaqueue.queue_id(queue_name);
  holder record;
begin
  perform supaqueue.check_on_conflict(payload, key, on_conflict);
  if key is null then
    job := supaqueue.enqueue(queue_name, payload, priority, run_at, headers, max_attempts, timeout_ms, path, tenant => tenant);
    outcome := 'inserted';
    return;
  end if;
  for attempt in 1 .. 100 loop
    insert into supaqueue.job as j (queue, payload, priority, run_at, headers, max_attempts, timeout_ms, path, key, tenant)
    values (_queue, payload, priority, run_at, headers, max_attempts, timeout_ms, path, key, tenant)
    on conflict (queue, key) where key_held_until is not null do nothing
    returning j.id into job;
    if job is not null then
      outcome := 'inserted';
      return;
    end if;
    holder := supaqueue.holder_of(_queue, key);
    -- Somebody was changing the holder when the insert looked whether its hold is over.
    continue when holder.until <= clock_timestamp() and attempt < 10;
    job := holder.job;
    if job is not null and (on_conflict = 'keep' or not supaqueue.is_unstarted(job)) then
      outcome := 'kept';
      return;
    elsif job is not null and supaqueue.change_holder(
      job, payload, priority, run_at, headers, max_attempts, timeout_ms, path, on_conflict, tenant)
    then
      outcome := case on_conflict when 'replace' then 'replaced' when 'postpone' then 'postponed' else 'merged' end;
      return;
    end if;
  end loop;
  raise exception 'cannot enqueue: the holder of the key % changed 100 times meanwhile', quote_literal(key)
    using errcode = 'serialization_failure', hint = 'Try again. A trigger on supaqueue.job that skips the insert has the same effect.';
end
$$;
comment on function supaqueue.enqueue_outcome(text, jsonb, integer, timestamptz, jsonb, integer, integer, text, text, text, text) is
  'Like enqueue; returns the id (job) and what happened (outcome): inserted, kept, replaced, postponed or merged';

create or replace function supaqueue.check_on_conflict(payload jsonb, key text, on_conflict text)
returns void
language plpgsql
set search_path = ''
as $$
begin
  if coalesce(on_conflict, '') not in ('keep', 'replace', 'postpone', 'merge') then
    raise exception 'cannot enqueue: on_conflict is %, not keep, replace, postpone or merge', coalesce(quote_literal(on_conflict), 'null')
      using errcode = 'invalid_parameter_value';
  elsif key is null and on_conflict <> 'keep' then
    raise exception 'cannot enqueue: on_conflict is %, but the job has no key', quote_literal(on_conflict)
      using errcode = 'invalid_parameter_value', hint = 'Add what the job is about, such as key => ''user 42''.';
  elsif on_conflict = 'merge' and coalesce(jsonb_typeof(payload), 'null') not in ('array', 'object') then
    raise exception 'cannot enqueue: on_conflict is ''merge'', but the payload is neither an array nor an object'
      using errcode = 'invalid_parameter_value', hint = 'Wrap it: jsonb_build_array(…).';
  end if;
end
$$;

create or replace function supaqueue.is_unstarted(_job uuid)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  return exists (select from supaqueue.job j where j.id = _job and j.status in ('pending', 'waiting') and j.attempts = 0);
end
$$;

-- Changes a job as on_conflict says. Returns false, and does not keep it locked, if it has started or
-- ended meanwhile.
create or replace function supaqueue.change_holder(
  _job uuid, _payload jsonb, _priority integer, _run_at timestamptz, _headers jsonb, _max_attempts integer,
  _timeout_ms integer, _path text, _on_conflict text, _tenant text
)
returns boolean
language plpgsql
set search_path = public, extensions
as $$
declare
  place refcursor;
  holder supaqueue.job;
begin
  -- Here, so that the handler's rollback releases it: its report may need the job.
  place := (supaqueue.lock_job(_job)).place;
  select j.* into holder from supaqueue.job j where j.id = _job;
  if holder.key_held_until is null or not supaqueue.is_unstarted(_job) then
    raise exception 'release the lock' using errcode = 'SQ001';
  elsif _on_conflict = 'merge' then
    update supaqueue.job j
    set payload = supaqueue.merged_payload(holder, _payload)
    where current of place;
  else
    update supaqueue.job j
    set payload = _payload, priority = _priority, headers = _headers, max_attempts = _max_attempts,
      timeout_ms = _timeout_ms, path = _path, tenant = _tenant,
      run_at = case
        when _on_conflict = 'replace' then j.run_at
        else (
          select case
            when q.postpone_at_most is null then _run_at
            else least(_run_at, greatest(j.run_at, j.created_at + q.postpone_at_most))
          end
          from supaqueue.queue q
          where q.id = j.queue
        )
      end
    where current of place;
  end if;
  if not found then
    perform supaqueue.refuse_skipped_update();
  end if;
  close place;
  return true;
exception
  when sqlstate 'SQ001' then
    return false;
end
$$;

create or replace function supaqueue.merged_payload(holder supaqueue.job, payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
  if jsonb_typeof(holder.payload) <> jsonb_typeof(payload) then
    raise exception 'cannot merge the payload (%) into that of job % (%), which holds the key %',
        jsonb_typeof(payload), holder.id, jsonb_typeof(holder.payload), quote_literal(holder.key)
      using errcode = 'invalid_parameter_value', hint = 'Two arrays can be merged, or two objects.';
  end if;
  return holder.payload || payload;
end
$$;
$migration$;

--- schema/87_enqueue_many.sql

execute $migration$
-- With keys, one after the other: a later payload may meet the job of an earlier one.
create or replace function supaqueue.enqueue_many(
  queue_name text,
  payloads jsonb[],
  priority integer default 0,
  run_at timestamptz default now(),
  headers jsonb default null,
  max_attempts integer default null,
  timeout_ms integer default null,
  path text default null,
  keys text[] default null,
  on_conflict text default 'keep',
  tenant text default null
)
returns setof uuid
language plpgsql
set search_path = public, extensions
as $$
declare
  _queue uuid := supaqueue.queue_id(queue_name);
begin
  if keys is not null or on_conflict is distinct from 'keep' then
    if cardinality(keys) is distinct from cardinality(payloads) then
      raise exception 'cannot enqueue: there are % payloads and % keys', cardinality(payloads), coalesce(cardinality(keys)::text, 'no')
        using errcode = 'invalid_parameter_value', hint = 'Pass one key per payload; null for a job without one.';
    end if;
    return query
    select supaqueue.enqueue(
      queue_name, item.payload, enqueue_many.priority, enqueue_many.run_at, enqueue_many.headers, enqueue_many.max_attempts,
      enqueue_many.timeout_ms, enqueue_many.path, item.key, case when item.key is null then 'keep' else enqueue_many.on_conflict end, enqueue_many.tenant)
    from unnest(payloads, keys) with ordinality as item (payload, key, number)
    order by item.number;
    return;
  end if;
  return query
  insert into supaqueue.job (queue, payload, priority, run_at, headers, max_attempts, timeout_ms, path, tenant)
  select
    _queue, item.payload, enqueue_many.priority, enqueue_many.run_at, enqueue_many.headers,
    enqueue_many.max_attempts, enqueue_many.timeout_ms, enqueue_many.path, enqueue_many.tenant
  from unnest(payloads) with ordinality as item (payload, number)
  order by item.number
  returning id;
end
$$;
comment on function supaqueue.enqueue_many(text, jsonb[], integer, timestamptz, jsonb, integer, integer, text, text[], text, text) is
  'Puts a job per payload in the queue of that name; returns their ids in the same order, or those of the jobs that hold their keys already';
$migration$;

--- schema/88_set_workers.sql

execute $migration$
-- Adds or deletes workers until the queue has that many. Free workers go first;
-- a worker that is deleted under its call leaves the call to end normally.
create or replace function supaqueue.set_workers(queue_name text, number integer)
returns void
language plpgsql
set search_path = ''
as $$
declare
  _queue uuid := supaqueue.queue_id(queue_name);
  missing integer;
begin
  if number is null or number not between 0 and 10000 then
    raise exception 'cannot give queue % % workers', quote_literal(queue_name), coalesce(number::text, 'null')
      using errcode = 'invalid_parameter_value', hint = 'The number of workers is between 0 and 10000.';
  end if;
  -- Two calls at once would each add what the other adds.
  perform from supaqueue.queue q where q.id = _queue for no key update;
  missing := number - (select count(*) from supaqueue.worker w where w.queue = _queue);
  insert into supaqueue.worker (queue) select _queue from generate_series(1, missing);
  delete from supaqueue.worker w
  where w.id in (
    select old.id from supaqueue.worker old
    where old.queue = _queue
    order by old.locked, old.id desc
    limit greatest(-missing, 0)
  );
end
$$;
comment on function supaqueue.set_workers is 'Gives the queue of that name that many workers: as many calls at once, at most';
$migration$;

--- schema/89_supaqueue_enqueue.sql

execute $migration$
-- The options of a job that came through the API, without those that are null. Refuses what enqueue does not take.
--
-- A time without a zone is UTC, whatever the session says.
create or replace function supaqueue.checked_options(options jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
set timezone = 'UTC'
set datestyle = 'ISO'
as $$
declare
  known constant jsonb := '{
    "key": "a string", "on_conflict": "a string", "priority": "a whole number", "run_at": "an ISO 8601 time",
    "headers": "an object", "max_attempts": "a whole number", "timeout_ms": "a whole number", "path": "a string", "tenant": "a string",
    "depends_on": "a list of ids", "on_failure": "a string", "pass_results": "a boolean"
  }';
  checked jsonb := '{}';
  option record;
  fits boolean;
begin
  if jsonb_typeof(options) <> 'object' then
    raise exception 'cannot enqueue: % is not an object', left(options::text, 100)
      using errcode = 'invalid_parameter_value',
        hint = 'Options are an object, such as {"priority": -1}; so is each of several jobs: {"payload": {"id": 1}, "priority": -1}.';
  end if;
  for option in
    select o.key as name, o.value, known ->> o.key as kind from jsonb_each(options) o where o.value <> 'null'
  loop
    if option.kind is null then
      raise exception 'cannot enqueue: there is no option %', quote_literal(option.name)
        using errcode = 'invalid_parameter_value',
          hint = 'The options are ' || (select string_agg(k, ', ') from jsonb_object_keys(known) k) || '.';
    elsif option.name in ('depends_on', 'on_failure', 'pass_results') and to_regclass('supaqueue.job_dependencies') is null then
      raise exception 'cannot enqueue: the option % needs the add-on job_dependencies, which is not installed', option.name
        using errcode = 'feature_not_supported', hint = 'Install it: supaqueue add-on add job_dependencies';
    end if;
    begin
      fits := true;
      case option.kind
        when 'a whole number' then perform option.value::text::integer;
        when 'a list of ids' then perform jsonb_array_elements_text(option.value)::uuid;
        when 'an ISO 8601 time' then
          fits := jsonb_typeof(option.value) = 'string';
          if fits then
            option.value := to_jsonb((option.value #>> '{}')::timestamptz);
          end if;
        else fits := option.kind like '%' || jsonb_typeof(option.value);
      end case;
    exception
      when data_exception then fits := false;
    end;
    if not fits then
      raise exception 'cannot enqueue: the option % must be %, not %', option.name, option.kind, left(option.value::text, 100)
        using errcode = 'invalid_parameter_value';
    end if;
    checked := checked || jsonb_build_object(option.name, option.value);
  end loop;
  return checked;
end
$$;

create or replace function public.supaqueue_enqueue(queue_name text, payload jsonb default '{}', options jsonb default '{}')
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  o jsonb := supaqueue.checked_options(options);
  priority integer := coalesce((o ->> 'priority')::integer, 0);
  run_at timestamptz := coalesce((o ->> 'run_at')::timestamptz, now());
  on_conflict text := coalesce(o ->> 'on_conflict', 'keep');
  result record;
begin
  -- PostgREST makes an SQL null of a JSON null, which is refused with a reason.
  payload := coalesce(payload, 'null');
  if o ?| array['depends_on', 'on_failure', 'pass_results'] then
    select * into result
    from supaqueue.enqueue_outcome(
      queue_name::varchar, payload, priority, run_at, o -> 'headers', (o ->> 'max_attempts')::integer,
      (o ->> 'timeout_ms')::integer, o ->> 'path', o ->> 'key', on_conflict, o ->> 'tenant',
      depends_on => array(select jsonb_array_elements_text(o -> 'depends_on')::uuid),
      on_failure => coalesce(o ->> 'on_failure', 'fail'), pass_results => coalesce((o ->> 'pass_results')::boolean, false));
  else
    select * into result
    from supaqueue.enqueue_outcome(
      queue_name, payload, priority, run_at, o -> 'headers', (o ->> 'max_attempts')::integer,
      (o ->> 'timeout_ms')::integer, o ->> 'path', o ->> 'key', on_conflict, o ->> 'tenant');
  end if;
  return jsonb_build_object('id', result.job, 'outcome', result.outcome);
end
$$;
comment on function public.supaqueue_enqueue is
  'Supaqueue: puts a job in the queue of that name, through the API; returns its id and the outcome';

-- One job after the other, not one insert: each has its own options and key, and an error names its job.
create or replace function public.supaqueue_enqueue_many(queue_name text, jobs jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  max_jobs constant integer := 1000;
  job jsonb;
  results jsonb[] := '{}';
  problem text;
  _hint text;
begin
  if jsonb_typeof(jobs) is distinct from 'array' then
    raise exception 'cannot enqueue: jobs is not an array'
      using errcode = 'invalid_parameter_value', hint = 'An example: [{"payload": {"id": 1}}, {"payload": {"id": 2}, "priority": -1}].';
  elsif jsonb_array_length(jobs) > max_jobs then
    raise exception 'cannot enqueue % jobs at once: at most %', jsonb_array_length(jobs), max_jobs
      using errcode = 'invalid_parameter_value', hint = 'Send them in several calls.';
  end if;
  perform supaqueue.queue_id(queue_name);
  begin
    for job in select jsonb_array_elements(jobs) loop
      results := results || public.supaqueue_enqueue(
        queue_name, coalesce(job -> 'payload', '{}'), case jsonb_typeof(job) when 'object' then job - 'payload' else job end);
    end loop;
  exception
    when others then
      get stacked diagnostics problem = message_text, _hint = pg_exception_hint;
      raise exception using
        message = format('jobs[%s]: %s', cardinality(results), problem), errcode = sqlstate,
        hint = concat_ws(' ', nullif(_hint, ''), 'No job was inserted.');
  end;
  return to_jsonb(results);
end
$$;
comment on function public.supaqueue_enqueue_many is
  'Supaqueue: puts several jobs in the queue of that name, all or none, through the API; returns their ids and outcomes, in the same order';
$migration$;

--- schema/90_plan_settings.sql

execute $migration$
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
$migration$;

--- schema/91_take_tables.sql

execute $migration$
-- Locks all tables and views of the schema until the end of the transaction, before
-- an upgrade changes them.
--
-- Taken one after the other as an upgrade reaches them, they end in a deadlock with
-- the transactions of a busy project, or end somebody's insert in one. So it is all
-- of them or none: what does not come soon, long before Postgres looks for a
-- deadlock, is given up with the rest, and tried again after a pause.
create or replace function supaqueue.take_tables()
returns void
language plpgsql
set search_path = ''
as $$
declare
  tables text := (
    select string_agg(c.oid::regclass::text, ', ' order by c.relkind, c.oid)
    from pg_catalog.pg_class c
    where c.relnamespace = 'supaqueue'::regnamespace and c.relkind in ('r', 'p', 'v')
  );
  lock_timeout text := current_setting('lock_timeout');
  deadline timestamptz := clock_timestamp() + interval '60 seconds';
begin
  loop
    begin
      perform set_config('lock_timeout', '200ms', true);
      execute 'lock table ' || tables || ' in access exclusive mode';
      exit;
    exception
      when lock_not_available then
        if clock_timestamp() > deadline then
          raise exception 'cannot lock the tables of supaqueue: others have used them for a minute'
            using errcode = 'lock_not_available',
              hint = 'Nothing was changed. Try again when no long transaction is open: select * from pg_stat_activity where state like ''idle in transaction%''.';
        end if;
    end;
    perform pg_sleep(random() * 0.2);
  end loop;
  perform set_config('lock_timeout', lock_timeout, true);
end
$$;

select supaqueue.take_tables();
$migration$;

--- schema/92_protect_new_objects.sql

execute $migration$
-- Lets only postgres and service_role use what this version has created.
--
-- Revoked by name: PUBLIC can execute every new function, and the platform's
-- default privileges add anon and authenticated in the schema public.
--
-- Objects that existed before keep their privileges, since users may have granted some to
-- other roles. The transaction's setting supaqueue.known_objects lists them.
--
-- service_role may read all tables. _writes: how it may write to them, such as
-- {"queue": "insert, update"}; _functions: the names of the functions that it may execute.
create or replace function supaqueue.protect_new_objects(_writes jsonb, _functions text[] default '{}')
returns void
language plpgsql
set search_path = ''
as $$
declare
  known text[] := string_to_array(coalesce(current_setting('supaqueue.known_objects', true), ''), ' ');
  outsiders text := 'public' || coalesce((
    select string_agg(', ' || r.rolname, '') from pg_catalog.pg_roles r where r.rolname in ('anon', 'authenticated')
  ), '');
  has_service_role boolean := to_regrole('service_role') is not null;
  object record;
begin
  for object in
    select 'schema' as kind, n.oid, n.nspname::text as name, 'usage' as privileges
    from pg_catalog.pg_namespace n
    where n.nspname = 'supaqueue'
    union all
    select
      case c.relkind when 'S' then 'sequence' else 'table' end, c.oid, c.oid::regclass::text,
      case c.relkind when 'S' then 'usage' else 'select' || coalesce(', ' || (_writes ->> c.relname), '') end
    from pg_catalog.pg_class c
    where c.relnamespace = 'supaqueue'::regnamespace and c.relkind in ('r', 'p', 'v', 'S')
    union all
    select 'routine', p.oid, p.oid::regprocedure::text, case when p.proname = any (_functions) then 'execute' end
    from pg_catalog.pg_proc p
    where p.pronamespace = 'supaqueue'::regnamespace
      or (p.pronamespace = 'public'::regnamespace and p.proname in ('end_current_job', 'end_current_jobs', 'supaqueue_pulse', 'supaqueue_enqueue', 'supaqueue_enqueue_many'))
  loop
    continue when replace(object.kind, 'routine', 'function') || object.oid = any (known);
    execute format('revoke all on %s %s from %s', object.kind, object.name, outsiders);
    if has_service_role and object.privileges is not null then
      execute format('grant %s on %s %s to service_role', object.privileges, object.kind, object.name);
    end if;
  end loop;
end
$$;
$migration$;

--- schema/93_privileges.sql

execute $migration$
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
$migration$;

--- end

insert into supaqueue.version (part, number, name, finished_at) values ('supaqueue', 1, '0001_supaqueue', now());

end
$supaqueue$;
