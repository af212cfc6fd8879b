-- Version 1 of supaqueue, assembled by `cargo xtask sql build`. Apply it in one transaction.

--- begin

do $$
declare
  installed integer;
begin
  if to_regclass('supaqueue.version') is not null then
    execute 'select max(v.number) from supaqueue.version v where v.part = $1' into installed using 'supaqueue';
  end if;
  if coalesce(installed, 0) <> 0 then
    raise exception 'cannot apply version 1 of supaqueue: this database has %', coalesce('version ' || installed, 'none')
      using errcode = 'object_not_in_prerequisite_state',
        hint = 'Nothing was changed. `supaqueue install` applies the versions that are missing.';
  end if;
  -- Before anything is changed: a busy project uses the tables all the time.
  if to_regproc('supaqueue.take_tables') is not null then
    perform supaqueue.take_tables();
  end if;
  -- Forgotten at the end of the transaction, so that `end` notices where there was none.
  perform set_config('supaqueue.applying', 'supaqueue 1', true);
end
$$;

--- known objects

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

--- schema/tables/01_schema.sql

-- Everything Supaqueue keeps in a database lives in one schema, out of the
-- API's reach: only postgres and service_role may use it.

create schema supaqueue;
comment on schema supaqueue is 'Supaqueue: queues of calls to edge functions';

-- pgcrypto signs what is sent to the supaqueue function.
create schema if not exists extensions;
create extension if not exists pgcrypto with schema extensions;

--- schema/tables/02_version.sql

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
comment on column supaqueue.version.finished_at is 'When the work that an upgrade does after its transaction was done, such as building indexes concurrently; null: `supaqueue install` still has to do it';

--- schema/03_new_id.sql

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
  return encode(
    set_bit(set_bit(
      overlay(
        uuid_send(gen_random_uuid())
        placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
        from 1 for 6
      ),
      52, 1), 53, 1),
    'hex')::uuid;
end
$$;

--- schema/04_is_headers.sql

-- Whether a value is an object of strings with names that HTTP allows
-- (RFC 9110, section 5.6.2) and values that an HTTP client sends: one line of Latin-1.
create or replace function supaqueue.is_headers(value jsonb)
returns boolean
language sql
immutable
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

--- schema/tables/05_setting.sql

-- What holds for all queues: one row, changed live by `update supaqueue.setting set …`.
create table supaqueue.setting (
  is_only_row boolean primary key default true,
  jobs_per_request integer not null default 20,
  bytes_per_request integer not null default 4000000,
  dispatch_timeout_ms integer not null default 10000,
  dispatch_lease_ms integer not null default 15000,
  max_dispatches integer not null default 5,
  lease_grace_ms integer not null default 30000,
  max_retry_after_ms integer not null default 86400000,
  max_errors integer not null default 20,
  retention_batch integer not null default 10000,
  constraint there_is_only_one_row check (is_only_row),
  constraint jobs_per_request_is_between_1_and_200 check (jobs_per_request between 1 and 200),
  constraint bytes_per_request_is_between_10_kb_and_4_mb check (bytes_per_request between 10000 and 4000000),
  constraint dispatch_timeout_is_between_1_and_60_seconds check (dispatch_timeout_ms between 1000 and 60000),
  constraint dispatch_lease_is_at_least_1_second check (dispatch_lease_ms between 1000 and 3600000),
  constraint max_dispatches_is_positive check (max_dispatches between 1 and 1000),
  constraint lease_grace_is_at_least_1_second check (lease_grace_ms between 1000 and 3600000),
  constraint max_retry_after_is_not_negative check (max_retry_after_ms >= 0),
  constraint max_errors_is_positive check (max_errors between 1 and 1000),
  constraint retention_batch_is_positive check (retention_batch between 1 and 1000000)
);

insert into supaqueue.setting default values;
alter table supaqueue.setting enable row level security;

comment on table supaqueue.setting is 'Settings of Supaqueue as a whole: one row, in force as soon as it is updated';
comment on column supaqueue.setting.jobs_per_request is 'Current jobs sent to the supaqueue function in one request, at most';
comment on column supaqueue.setting.bytes_per_request is 'Size of a request in bytes; the last job of it may add up to 1 MB, a larger one is sent alone';
comment on column supaqueue.setting.dispatch_timeout_ms is 'How long pg_net waits for the supaqueue function to accept a request, in milliseconds';
comment on column supaqueue.setting.dispatch_lease_ms is 'How long a sent job may go without being acknowledged before it is sent again, in milliseconds; grows with each sending';
comment on column supaqueue.setting.max_dispatches is 'How often a job is sent without an acknowledgement before it goes back to pending with the reason in its errors';
comment on column supaqueue.setting.lease_grace_ms is 'How long after its timeout a call may be reported before the attempt counts as lost, in milliseconds';
comment on column supaqueue.setting.max_retry_after_ms is 'The longest wait that a target function can ask for with retry-after, in milliseconds';
comment on column supaqueue.setting.max_errors is 'Failed attempts kept in the errors of a job: the last ones';
comment on column supaqueue.setting.retention_batch is 'Finished jobs deleted in one tick, at most';

--- schema/tables/10_queue.sql

create table supaqueue.queue (
  id uuid primary key default supaqueue.new_id(),
  created_at timestamptz not null default now(),
  name text not null,
  edge_function_name text not null,
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
  constraint queue_name_is_unique unique (name),
  constraint name_is_not_empty check (name <> ''),
  constraint edge_function_name_is_not_a_url check (edge_function_name !~ '[:/?#]'),
  constraint edge_function_name_is_of_letters_digits_underscores_hyphens check (edge_function_name ~ '^[A-Za-z][A-Za-z0-9_-]*$'),
  constraint edge_function_is_not_supaqueue_itself check (
    -- The self-test of `supaqueue install` and `supaqueue doctor` is the one exception.
    edge_function_name <> 'supaqueue' or name = 'supaqueue_self_test'
  ),
  constraint default_headers_are_an_object_of_strings check (default_headers is null or supaqueue.is_headers(default_headers)),
  constraint max_attempts_is_positive check (max_attempts >= 1),
  constraint timeout_is_positive check (timeout_ms >= 1),
  constraint timeout_is_at_most_380_seconds check (timeout_ms <= 380000),
  constraint backoff_base_is_not_negative check (backoff_base_ms >= 0),
  constraint backoff_max_is_at_least_backoff_base check (backoff_max_ms >= backoff_base_ms),
  constraint auth_is_service_role_anon_or_none check (auth in ('service_role', 'anon', 'none')),
  constraint final_statuses_are_failures check (
    array_position(final_statuses, null) is null
    and 300 <= all (final_statuses) and 599 >= all (final_statuses)
  ),
  constraint keep_successful_for_is_not_negative check (keep_successful_for >= interval '0'),
  constraint keep_failed_for_is_not_negative check (keep_failed_for >= interval '0')
);
alter table supaqueue.queue enable row level security;

comment on table supaqueue.queue is 'A queue of calls to one edge function. Its workers bound how many of them run at once';
comment on column supaqueue.queue.name is 'Unique; where none is given, the name of the edge function, numbered if taken';
comment on column supaqueue.queue.edge_function_name is 'The function that is called: its name only, as in supabase/functions';
comment on column supaqueue.queue.default_headers is 'Headers of each call: an object of strings. Do not put secrets here, pg_net''s tables can be read by every role';
comment on column supaqueue.queue.max_attempts is 'Calls of a job, the first one included, before it is failed';
comment on column supaqueue.queue.timeout_ms is 'How long a call may take, in milliseconds; at most what the platform''s wall clock can hold (400 s on paid plans, 150 s on the free one)';
comment on column supaqueue.queue.backoff_base_ms is 'Upper bound of the wait before the first retry, in milliseconds; it doubles with each attempt. The wait itself is random between 0 and the bound (full jitter)';
comment on column supaqueue.queue.backoff_max_ms is 'The most that the bound of the wait before a retry can grow to, in milliseconds';
comment on column supaqueue.queue.auth is 'The key that calls carry: service_role (bypasses row level security), anon, or none';
comment on column supaqueue.queue.final_statuses is 'HTTP statuses after which a job is failed at once, without a retry';
comment on column supaqueue.queue.is_paused is 'A paused queue starts no job; calls under way end normally';
comment on column supaqueue.queue.keep_successful_for is 'How long successful and cancelled jobs are kept after they finished; null: for ever';
comment on column supaqueue.queue.keep_failed_for is 'How long failed jobs are kept after they finished; null: for ever';

--- schema/tables/11_worker.sql

create table supaqueue.worker (
  id uuid primary key default supaqueue.new_id(),
  created_at timestamptz not null default now(),
  queue uuid not null references supaqueue.queue on delete cascade,
  locked boolean not null default false,
  last_report uuid
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table supaqueue.worker enable row level security;

-- `locked` is in no index, so that locking and unlocking stay cheap (heap-only updates).
create index worker_queue on supaqueue.worker (queue, id);

comment on table supaqueue.worker is 'The slots of a queue: as many calls of the queue run at once, at most, as it has workers';
comment on column supaqueue.worker.locked is 'Whether the worker processes a job now; kept by Supaqueue';
comment on column supaqueue.worker.last_report is 'The current job whose report freed the worker last, so that a repeated report gets the same answer';

--- schema/tables/12_job.sql

create table supaqueue.job (
  id uuid primary key default supaqueue.new_id(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  queue uuid not null references supaqueue.queue on delete cascade,
  payload jsonb not null default '{}',
  status text not null default 'pending',
  attempts integer not null default 0,
  priority integer not null default 0,
  run_at timestamptz not null default now(),
  headers jsonb,
  max_attempts integer,
  timeout_ms integer,
  started_at timestamptz,
  finished_at timestamptz,
  duration_ms integer,
  http_status integer,
  result jsonb,
  errors jsonb not null default '[]',
  position bigint generated always as identity
) with (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 5000, autovacuum_analyze_scale_factor = 0.05);
alter table supaqueue.job enable row level security;

-- The order in which pending jobs are taken, and nothing else: finished jobs cost a queue nothing.
create index job_pending on supaqueue.job (queue, priority, run_at, position) where status = 'pending';
create index job_waiting on supaqueue.job (queue) where status = 'waiting';
create index job_in_progress on supaqueue.job (queue) where status = 'in_progress';
create index job_finished on supaqueue.job (queue, status, finished_at) where finished_at is not null;

comment on table supaqueue.job is 'A call of a queue''s edge function: inserting one is enough';
comment on column supaqueue.job.payload is 'The body of the call';
comment on column supaqueue.job.status is 'pending, waiting (held until somebody sets it to pending), in_progress, successful, failed, or cancelled';
comment on column supaqueue.job.attempts is 'Calls so far, the one under way included';
comment on column supaqueue.job.priority is 'Lower goes first';
comment on column supaqueue.job.run_at is 'Not started before this time';
comment on column supaqueue.job.headers is 'Headers of this call, over the queue''s: an object of strings';
comment on column supaqueue.job.max_attempts is 'Null: the queue''s';
comment on column supaqueue.job.timeout_ms is 'How long the call may take, in milliseconds; null: the queue''s';
comment on column supaqueue.job.started_at is 'When the last attempt started';
comment on column supaqueue.job.finished_at is 'When the job became successful, failed or cancelled';
comment on column supaqueue.job.duration_ms is 'How long the last call took, in milliseconds';
comment on column supaqueue.job.http_status is 'The HTTP status of the last call';
comment on column supaqueue.job.result is 'The answer of the successful call: JSON as JSON, text as a JSON string, cut at the size that the function is set to';
comment on column supaqueue.job.errors is 'One entry per failed attempt: attempt, at, status, message, body; the last ones (setting max_errors)';
comment on column supaqueue.job.position is 'The order of insertion, the last criterion of the order within a queue';

--- schema/tables/13_current_job.sql

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

--- schema/tables/14_queue_front.sql

-- Where the search for a queue's next job begins: at its priority, jobs before
-- run_at and position were taken already. A hint, and only that.
--
-- What was taken stays in the index until vacuum may remove it, and a
-- transaction left open for minutes forbids that: without the hint, each search
-- would walk over all that was taken since. A hint too far ahead delays a job, so
-- it is dropped when something older is committed (see dispatch), by each tick,
-- and left aside whenever a search that uses it finds too little.
create table supaqueue.queue_front (
  queue uuid primary key,
  priority integer not null,
  run_at timestamptz not null,
  position bigint not null
) with (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
alter table supaqueue.queue_front enable row level security;
comment on table supaqueue.queue_front is 'A hint for Supaqueue: where the search for a queue''s next job begins';

--- schema/tables/15_wake_up_event.sql

-- For updates of jobs, which after_update_job_tg looks at: the event of such a transaction is that
-- of a row here, which is gone at once. The condition of a trigger on the job table would be read
-- from its text by each report twice, which was 7 % of what a report costs.
--
-- Unlogged: there is nothing to keep, and a publication of all tables has no part in it. It would
-- refuse to let a row go from a table without a key.
create unlogged table supaqueue.wake_up_event (
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table supaqueue.wake_up_event enable row level security;
comment on table supaqueue.wake_up_event is 'Always empty: Supaqueue has a transaction end with a dispatch by writing and deleting a row here';

--- schema/16_name_queue.sql

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

--- schema/17_check_job.sql

-- Refuses to store a job, under the name of the rule that it breaks.
--
-- Rules are not check constraints: each update of a job reads the text of all of
-- those and evaluates them, and the engine updates each job at least twice. They
-- were a sixth of what a report costs, and far more for a large payload.
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

-- Refuses what makes no sense of what only a user sets. See before_update_job_tg for
-- what the engine sets, too.
create or replace function supaqueue.check_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  rule text;
  problem text;
begin
  if new.payload = 'null' then
    rule := 'payload_is_not_json_null';
    problem := 'its payload is JSON null; leave it out, or use {}';
  elsif octet_length(new.payload::text) > 5000000 then
    rule := 'payload_is_at_most_5_mb';
    problem := 'its payload is larger than 5 MB; store it elsewhere, and send where it is';
  elsif new.max_attempts < 1 then
    rule := 'max_attempts_is_positive';
    problem := 'its max_attempts is less than 1';
  elsif new.timeout_ms < 1 then
    rule := 'timeout_is_positive';
    problem := 'its timeout_ms is less than 1';
  elsif new.timeout_ms > 380000 then
    rule := 'timeout_is_at_most_380_seconds';
    problem := 'its timeout_ms is more than 380000, which the platform cannot hold';
  elsif not supaqueue.is_headers(new.headers) then
    rule := 'headers_are_an_object_of_strings';
    problem := 'its headers are not an object of strings with names and values that HTTP allows';
  end if;
  if rule is not null then
    perform supaqueue.refuse_job(rule, problem);
  end if;
  return new;
end
$$;

create or replace trigger check_job_tg
before insert or update of payload, max_attempts, timeout_ms, headers on supaqueue.job
for each row
execute function supaqueue.check_job_tg_fn();

--- schema/18_before_write_job.sql

-- Keeps a job whole, when it is inserted and when its status changes. While its call
-- is under way it can be cancelled (the report then leaves it so) but not started
-- again. One that had finished and goes back to pending or waiting has all its
-- attempts again, and one that becomes pending is due from then on, behind those that
-- were so before.
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
  elsif new.attempts < 0 then
    perform supaqueue.refuse_job('attempts_is_not_negative', 'its attempts are less than 0');
  elsif jsonb_typeof(new.errors) <> 'array' then
    perform supaqueue.refuse_job('errors_are_a_list', 'its errors are not a list');
  end if;
  if tg_op = 'INSERT' then
    if new.status in ('successful', 'failed', 'cancelled') then
      -- One that is brought from elsewhere: counted and kept like any other.
      new.finished_at := coalesce(new.finished_at, clock_timestamp());
    end if;
    return new;
  end if;
  new.updated_at := clock_timestamp();
  if new.status = old.status then
    return new;
  end if;
  if new.status in ('pending', 'waiting') then
    if exists (select from supaqueue.current_job c where c.job = new.id) then
      raise exception 'cannot set job % to %: its call has not ended yet', new.id, new.status
        using errcode = 'object_in_use',
          hint = 'Set it to cancelled, or try again when supaqueue.current_job has no row for it.';
    end if;
    if old.status in ('successful', 'failed', 'cancelled') then
      new.attempts := 0;
      new.finished_at := null;
    end if;
    if old.status <> 'in_progress' and new.status = 'pending' then
      new.run_at := greatest(new.run_at, clock_timestamp());
    end if;
  elsif new.status <> 'in_progress' then
    new.finished_at := coalesce(new.finished_at, clock_timestamp());
  end if;
  return new;
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

--- schema/20_ms.sql

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

--- schema/21_last_entries.sql

-- The last _limit entries of a JSON list, in order.
create or replace function supaqueue.last_entries(list jsonb, _limit integer)
returns jsonb
language sql
immutable
parallel safe
set search_path = ''
as $$
  select case
    when jsonb_array_length(list) <= _limit then list
    else (
      select jsonb_agg(entry.value order by entry.ordinality)
      from jsonb_array_elements(list) with ordinality as entry
      where entry.ordinality > jsonb_array_length(list) - _limit
    )
  end
$$;

--- schema/22_uuid_or_null.sql

-- The UUID in a text, or null where it is none.
create or replace function supaqueue.uuid_or_null(value text)
returns uuid
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
begin
  if value ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
    return value::uuid;
  end if;
  return null;
end
$$;

--- schema/30_lock_queues.sql

-- Locks queues until the end of the transaction, in the order of their ids.
--
-- Who makes a job startable takes the lock shared and then looks for a free
-- worker. Who makes a worker usable (frees it, adds it, ends a pause) takes it
-- exclusively and then looks for a job. So an insert and a last report that end
-- at the same moment see each other: one waits, and what the other did is
-- committed when it looks.
create or replace function supaqueue.lock_queues(_shared uuid[], _exclusive uuid[])
returns void
language plpgsql
set search_path = ''
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

--- schema/31_next_priority.sql

-- The next priority of a queue's pending jobs behind one, and when its first job is
-- due; nulls where there is none.
--
-- So a search goes from priority to priority, and a million jobs scheduled for
-- tomorrow at one of them cost the jobs of the next one nothing.
create or replace function supaqueue.next_priority(
  _queue uuid, behind bigint, out priority integer, out run_at timestamptz
)
language plpgsql
stable
set search_path = ''
as $$
begin
  select j.priority, j.run_at into priority, run_at
  from supaqueue.job j
  where j.queue = _queue and j.status = 'pending' and j.priority > behind
  order by j.priority, j.run_at, j.position
  limit 1;
end
$$;

-- Whether a job of a queue is due that goes before all those of a priority.
create or replace function supaqueue.has_due_job_before(_queue uuid, _priority integer, at timestamptz)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
declare
  next record;
begin
  next := supaqueue.next_priority(_queue, -2147483649);
  while next.priority < _priority loop
    if next.run_at <= at then
      return true;
    end if;
    next := supaqueue.next_priority(_queue, next.priority);
  end loop;
  return false;
end
$$;

--- schema/32_due_jobs.sql

-- Locks and returns the jobs of a queue that are next: due, by priority, time
-- due and insertion order, at most _limit of them.
--
-- "Due" is compared with the clock: now() is the start of the transaction, and a
-- job committed by one that began later would not be due yet.
--
-- "skip locked" can wait all the same: a row whose new version was committed just
-- now is followed to that version, and whoever has that one locked already is
-- waited for (heap_lock_updated_tuple in Postgres). That may be a report which waits
-- for the lock of the queue that our caller holds. So we give up (55P03) long before
-- Postgres looks for a deadlock: the report then finds the job that we leave.
create or replace function supaqueue.due_jobs(_queue uuid, _limit integer)
returns uuid[]
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  at timestamptz := clock_timestamp();
  next record;
  jobs uuid[] := array(
    -- From the front on, unless a job of an earlier priority is due.
    select j.id
    from supaqueue.queue_front f
    cross join lateral (
      select n.id
      from supaqueue.job n
      where n.queue = _queue and n.status = 'pending' and n.priority = f.priority
        and n.run_at <= at and (n.run_at, n.position) >= (f.run_at, f.position)
      order by n.run_at, n.position
      limit _limit
      for no key update skip locked
    ) j
    where f.queue = _queue and (
      (
        select b.id from supaqueue.job b
        where b.queue = _queue and b.status = 'pending' and b.priority < f.priority
        limit 1
      ) is null
      or not supaqueue.has_due_job_before(_queue, f.priority, at)
    )
  );
begin
  if cardinality(jobs) >= _limit then
    if random() < 0.01 then
      perform supaqueue.set_queue_front(jobs[1]);
    end if;
    return jobs;
  end if;

  -- Else from the beginning.
  jobs := '{}';
  next := supaqueue.next_priority(_queue, -2147483649);
  while next.priority is not null loop
    jobs := jobs || array(
      select j.id
      from supaqueue.job j
      where j.queue = _queue and j.status = 'pending' and j.priority = next.priority and j.run_at <= at
      order by j.run_at, j.position
      limit _limit - cardinality(jobs)
      for no key update skip locked
    );
    exit when cardinality(jobs) >= _limit;
    next := supaqueue.next_priority(_queue, next.priority);
  end loop;
  if jobs <> '{}' then
    perform supaqueue.set_queue_front(jobs[1]);
  end if;
  return jobs;
end
$$;

--- schema/33_queue_front.sql

-- Moves the front of a queue to a job that was just taken, unless somebody else
-- moves or drops it just now: nobody waits for a hint.
create or replace function supaqueue.set_queue_front(_job uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  job supaqueue.job;
begin
  select j.* into job from supaqueue.job j where j.id = _job;
  if pg_try_advisory_xact_lock(hashtextextended('supaqueue.queue_front:' || job.queue, 0)) is not true then
    return;
  end if;
  update supaqueue.queue_front f
  set priority = job.priority, run_at = job.run_at, position = job.position
  where f.queue = (select g.queue from supaqueue.queue_front g where g.queue = job.queue for update skip locked);
  if not found and not exists (select from supaqueue.queue_front f where f.queue = job.queue) then
    insert into supaqueue.queue_front (queue, priority, run_at, position)
    values (job.queue, job.priority, job.run_at, job.position);
  end if;
end
$$;

-- Drops the hints of queues (null: of all) that are at or past a time.
create or replace function supaqueue.drop_queue_fronts(_queues uuid[], since timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
begin
  delete from supaqueue.queue_front f
  where f.queue = any (array(
    select g.queue from supaqueue.queue_front g
    where (_queues is null or g.queue = any (_queues)) and g.run_at >= since
    for update skip locked
  ));
end
$$;

--- schema/34_sign.sql

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

--- schema/35_dispatch_problem.sql

-- Why nothing can be sent to the supaqueue function now, or null.
create or replace function supaqueue.dispatch_problem(out problem text, out remedy text)
language plpgsql
set search_path = ''
as $$
declare
  secret text;
  url text;
begin
  if to_regproc('net.http_post') is null then
    problem := 'the extension pg_net is not installed';
    remedy := 'Run: create extension pg_net;';
    return;
  end if;
  if to_regclass('vault.decrypted_secrets') is null then
    problem := 'the extension supabase_vault is not installed';
    remedy := 'Run: create extension supabase_vault; then `supaqueue install` again.';
    return;
  end if;

  select
    max(s.decrypted_secret) filter (where s.name = 'supaqueue_secret'),
    max(s.decrypted_secret) filter (where s.name = 'supaqueue_url')
  into secret, url
  from vault.decrypted_secrets s
  where s.name in ('supaqueue_secret', 'supaqueue_url');

  if secret is null then
    problem := 'the Vault has no secret named supaqueue_secret';
    remedy := 'Run `supaqueue install` again: it stores one in the Vault and in the function''s environment.';
  elsif supaqueue.signing_key(secret) is null then
    problem := 'the Vault''s supaqueue_secret is not a key of the form whsec_<base64>';
    remedy := 'Run `supaqueue rotate-secret`, or store the value of SUPAQUEUE_SECRET with vault.update_secret.';
  elsif url is null then
    problem := 'the Vault has no secret named supaqueue_url';
    remedy := 'Run: select vault.create_secret(''https://<project>.supabase.co'', ''supaqueue_url'');';
  elsif url !~ '^https?://[^/?#\s]+/?$' then
    problem := 'the Vault''s supaqueue_url is not an address of the form https://host';
    remedy := 'Change it with vault.update_secret to the project''s address, without a path.';
  end if;
end
$$;

--- schema/36_post.sql

-- Sends a body to the supaqueue function, signed with the Vault's secret;
-- returns the id of the pg_net request. It leaves when the transaction commits.
--
-- pg_net puts body::text on the wire, so that is what is signed. Whoever can
-- run SQL can read pg_net's tables: the secret itself is in none of the headers.
create or replace function supaqueue.post(body jsonb)
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  secrets jsonb := (
    select jsonb_object_agg(s.name, s.decrypted_secret)
    from vault.decrypted_secrets s
    where s.name in ('supaqueue_secret', 'supaqueue_url', 'supaqueue_anon_key')
  );
  webhook_id text := 'msg_' || replace(supaqueue.new_id()::text, '-', '');
  webhook_timestamp text := floor(extract(epoch from clock_timestamp()))::bigint::text;
begin
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
    timeout_milliseconds := (select s.dispatch_timeout_ms from supaqueue.setting s)
  );
end
$$;

--- schema/37_record.sql

-- A current job with its job and queue, as the supaqueue function gets them: of each what a
-- call needs. Whole rows cost a report a twentieth more, and the function reads no more of them.
create or replace function supaqueue.record_of(call supaqueue.current_job, job supaqueue.job, queue supaqueue.queue)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  return jsonb_build_object(
    'current_job', jsonb_build_object(
      'id', call.id, 'created_at', call.created_at,
      'acknowledged_at', call.acknowledged_at, 'lease_until', call.lease_until
    ),
    'job', jsonb_build_object(
      'id', job.id, 'payload', job.payload, 'attempts', job.attempts,
      'headers', job.headers, 'timeout_ms', job.timeout_ms
    ),
    'queue', jsonb_build_object(
      'name', queue.name, 'edge_function_name', queue.edge_function_name, 'auth', queue.auth,
      'default_headers', queue.default_headers, 'timeout_ms', queue.timeout_ms,
      'final_statuses', queue.final_statuses
    )
  );
end
$$;

-- The record of a current job; null where its job or its queue is gone.
--
-- Three look-ups and no join: a planner that met the tables when they were small
-- can take a merge join for one, which reads the job table from its start.
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
  return supaqueue.record_of(call, job, queue);
end
$$;

--- schema/38_send_current_jobs.sql

-- Sends current jobs to the supaqueue function, many in one request: at most
-- jobs_per_request of them and about bytes_per_request; a record above 1 MB goes
-- alone, so that no request grows past what the function takes (6 MB).
create or replace function supaqueue.send_current_jobs(_current_jobs uuid[])
returns void
language sql
set search_path = ''
as $$
  with record as (
    select c.id, c.number, r.record, octet_length(r.record::text) as bytes
    from unnest(_current_jobs) with ordinality as c (id, number)
    cross join lateral supaqueue.record(c.id) as r (record)
    where r.record is not null
  ),
  place as (
    select
      r.*,
      case when r.bytes > 1000000 then r.number end as alone,
      row_number() over small - 1 as jobs_before,
      sum(r.bytes) over small - r.bytes as bytes_before
    from record r
    window small as (partition by r.bytes > 1000000 order by r.number)
  ),
  request as materialized (
    select
      array_agg(p.id) as ids,
      supaqueue.post(jsonb_build_object('current_jobs', jsonb_agg(p.record order by p.number))) as request_id
    from place p
    cross join supaqueue.setting s
    group by p.alone, p.jobs_before / s.jobs_per_request, div(p.bytes_before, s.bytes_per_request)
  )
  update supaqueue.current_job c
  set request_id = request.request_id
  from request
  where c.id = any (request.ids)
$$;

create or replace function supaqueue.after_insert_current_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- What was handed out with a report has its lane already.
  if exists (select from inserted c where c.acknowledged_at is null) then
    perform supaqueue.send_current_jobs(array(
      select c.id from inserted c where c.acknowledged_at is null order by c.created_at, c.id
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

--- schema/39_adopt_calls.sql

-- Whether a queue has a call whose worker was deleted, or moved to another queue,
-- under it, beside a free worker.
--
-- Such a call ends normally and nothing follows it; but until then it counts,
-- else deleting and adding workers would let more calls run than there are
-- workers. So a free worker takes it over before any job is started.
create or replace function supaqueue.has_calls_to_adopt(_queue uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (select from supaqueue.worker w where w.queue = _queue and not w.locked)
    and exists (
      select from supaqueue.current_job c
      where c.queue = _queue
        and not exists (select from supaqueue.worker w where w.id = c.worker and w.queue = c.queue)
    );
end
$$;

-- Lets free workers take over the calls of a queue that have none. Call it with
-- the queue's lock held exclusively: of two at once, each would use a free worker
-- that the other counts on.
--
-- A call that is locked just now stays behind: who acknowledges, reports or
-- reclaims it comes here next.
create or replace function supaqueue.adopt_calls(_queue uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  calls uuid[];
  workers uuid[];
begin
  if not supaqueue.has_calls_to_adopt(_queue) then
    return;
  end if;
  calls := array(
    select c.id
    from supaqueue.current_job c
    where c.queue = _queue
      and not exists (select from supaqueue.worker w where w.id = c.worker and w.queue = c.queue)
    order by c.id
    for no key update skip locked
  );
  workers := array(
    select w.id
    from supaqueue.worker w
    where w.queue = _queue and not w.locked
    order by w.id
    limit cardinality(calls)
    for no key update skip locked
  );
  update supaqueue.current_job c
  set worker = adopted.worker
  from unnest(calls[1:cardinality(workers)], workers) as adopted (call, worker)
  where c.id = adopted.call;
  update supaqueue.worker w set locked = true where w.id = any (workers);
end
$$;

--- schema/40_timeout_of.sql

-- How long a target function has for a job that is in progress, in milliseconds; null for any other.
create or replace function supaqueue.timeout_of(_job uuid)
returns integer
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select coalesce(j.timeout_ms, q.timeout_ms)
    from supaqueue.job j
    join supaqueue.queue q on q.id = j.queue
    where j.id = _job and j.status = 'in_progress'
  );
end
$$;

--- schema/41_start_jobs.sql

-- Starts due jobs of queues on their free workers: worker locked, job in
-- progress with one attempt more, a current job for both. Returns how many.
--
-- Call it with the queues' locks held, shared or, those of _exclusive, exclusively
-- (lock_queues). It takes jobs first and then no more workers than it has jobs: rows
-- that it locks, and that others therefore skip, are rows that it uses.
create or replace function supaqueue.start_jobs(_queues uuid[], _exclusive uuid[])
returns integer
language plpgsql
set search_path = ''
as $$
declare
  _queue uuid;
  free_workers uuid[];
  due uuid[];
  queues uuid[] := '{}';
  workers uuid[] := '{}';
  jobs uuid[] := '{}';
begin
  for _queue in
    select q.id from supaqueue.queue q where q.id = any (_queues) and not q.is_paused order by q.id
  loop
    if _queue = any (_exclusive) then
      perform supaqueue.adopt_calls(_queue);
    end if;
    continue when not exists (select from supaqueue.worker w where w.queue = _queue and not w.locked)
      or supaqueue.has_calls_to_adopt(_queue);
    due := supaqueue.due_jobs(
      _queue, (select count(*)::integer from supaqueue.worker w where w.queue = _queue and not w.locked));
    free_workers := array(
      select w.id from supaqueue.worker w
      where w.queue = _queue and not w.locked
      order by w.id
      limit cardinality(due)
      for no key update skip locked
    );
    queues := queues || array_fill(_queue, array[cardinality(free_workers)]);
    workers := workers || free_workers;
    jobs := jobs || due[1:cardinality(free_workers)];
  end loop;
  if cardinality(jobs) = 0 then
    return 0;
  end if;

  update supaqueue.worker w set locked = true where w.id = any (workers);
  update supaqueue.job j
  set status = 'in_progress', attempts = j.attempts + 1, started_at = clock_timestamp()
  where j.id = any (jobs);
  insert into supaqueue.current_job (queue, worker, job, lease_until)
  select call.queue, call.worker, call.job, clock_timestamp() + supaqueue.ms(s.dispatch_lease_ms)
  from unnest(queues, workers, jobs) with ordinality as call (queue, worker, job, number)
  cross join supaqueue.setting s
  order by call.number;
  return cardinality(jobs);
end
$$;

--- schema/42_backoff_ms.sql

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

--- schema/43_settle_job.sql

-- Settles the job of a call that ended: successful, pending again for a retry,
-- or failed. A job that was cancelled meanwhile stays cancelled. Its current job
-- must be gone by then.
--
-- _report: http_status, duration_ms, result, error {message, body},
-- retry_after_ms, is_final, is_attempt. See public.end_current_job.
--
-- A report comes from outside, and nothing in it may keep its job from being settled: what is
-- no number, or none that the column holds, is left aside.
--
-- Whether the job is still in progress is asked of the row that the update finds:
-- who cancels it may commit after it was looked at.
create or replace function supaqueue.settle_job(_job uuid, _is_successful boolean, _report jsonb)
returns void
language plpgsql
set search_path = ''
as $$
declare
  job record;
  _status text;
  _http_status integer := jsonb_path_query_first(_report, '$.http_status ? (@ >= 0 && @ <= 2147483647)')::integer;
  _duration_ms integer := jsonb_path_query_first(_report, '$.duration_ms ? (@ >= 0 && @ <= 2147483647)')::integer;
  is_given_back boolean := coalesce(_report -> 'is_attempt' = 'false', false);
  error jsonb;
begin
  if _is_successful then
    update supaqueue.job j
    set status = case j.status when 'in_progress' then 'successful' else j.status end,
      http_status = _http_status, duration_ms = _duration_ms, result = _report -> 'result'
    where j.id = _job;
    return;
  end if;

  select
    j.attempts, coalesce(j.max_attempts, q.max_attempts) as max_attempts,
    q.final_statuses, q.backoff_base_ms, q.backoff_max_ms, s.max_retry_after_ms, s.max_errors
  into job
  from supaqueue.job j
  join supaqueue.queue q on q.id = j.queue
  cross join supaqueue.setting s
  where j.id = _job;
  if not found then
    return;
  end if;

  _status := case
    when is_given_back then 'pending'
    when _report -> 'is_final' = 'true' or _http_status = any (job.final_statuses) then 'failed'
    when job.attempts >= job.max_attempts then 'failed'
    else 'pending'
  end;

  error := jsonb_strip_nulls(jsonb_build_object(
    'attempt', job.attempts,
    'at', clock_timestamp(),
    'status', _http_status,
    'message', coalesce(_report #>> '{error,message}', 'the call was reported as failed, without a reason'),
    'body', _report #> '{error,body}'
  ));
  update supaqueue.job j
  set status = case j.status when 'in_progress' then _status else j.status end,
    attempts = case when is_given_back then greatest(j.attempts - 1, 0) else j.attempts end,
    run_at = case
      when j.status = 'in_progress' and _status = 'pending' then clock_timestamp() + supaqueue.ms(greatest(
        supaqueue.backoff_ms(job.attempts, job.backoff_base_ms, job.backoff_max_ms),
        least(coalesce(jsonb_path_query_first(_report, '$.retry_after_ms ? (@ >= 0)')::numeric, 0), job.max_retry_after_ms)))
      else j.run_at
    end,
    http_status = coalesce(_http_status, j.http_status),
    duration_ms = coalesce(_duration_ms, j.duration_ms),
    errors = supaqueue.last_entries(j.errors || error, job.max_errors)
  where j.id = _job;
end
$$;

--- schema/44_request_outcome.sql

-- What pg_net knows of a request, for the reason why a job was not acknowledged.
create or replace function supaqueue.request_outcome(_request bigint)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  response record;
begin
  if to_regclass('net._http_response') is not null then
    select r.status_code, r.timed_out, r.error_msg, left(r.content, 200) as content
    into response
    from net._http_response r
    where r.id = _request;
    if found then
      return case
        when response.timed_out then 'it did not answer in time'
        when response.status_code is not null then
          'it answered ' || response.status_code || coalesce(': ' || response.content, '')
        else 'it could not be reached: ' || coalesce(response.error_msg, 'pg_net gave no reason')
      end;
    end if;
  end if;
  return 'pg_net has no answer of it';
end
$$;

--- schema/45_reclaim.sql

-- Takes back, in the given queues (null: in all), the calls whose lease is over:
-- not acknowledged ones are sent again under a new id (a bounded number of
-- times, then they go back to pending with the reason, the attempt not spent);
-- acknowledged ones are lost attempts. In all queues, frees workers and jobs that have
-- no call, too.
create or replace function supaqueue.reclaim(_queues uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
  limits supaqueue.setting := (select s from supaqueue.setting s);
  problem text;
  call supaqueue.current_job;
  _job uuid;
  to_send uuid[] := '{}';
  workers uuid[] := '{}';
begin
  for call in
    select c.* from supaqueue.current_job c
    where c.lease_until < at and (_queues is null or c.queue = any (_queues))
    order by c.id
    for update skip locked
  loop
    -- A job that somebody is deleting or changing just now is left to the next time.
    perform from supaqueue.job j where j.id = call.job for no key update skip locked;
    continue when not found and exists (select from supaqueue.job j where j.id = call.job);

    problem := case when call.acknowledged_at is null then (select p.problem from supaqueue.dispatch_problem() p) end;
    if call.acknowledged_at is null and call.dispatches < limits.max_dispatches and problem is null
      and exists (select from supaqueue.job j where j.id = call.job and j.status = 'in_progress')
    then
      to_send := to_send || call.id;
      continue;
    end if;

    delete from supaqueue.current_job c where c.id = call.id;
    workers := workers || call.worker;
    if call.acknowledged_at is null then
      perform supaqueue.settle_job(call.job, false, jsonb_build_object(
        'is_attempt', false,
        'retry_after_ms', limits.dispatch_lease_ms,
        'error', jsonb_build_object('message', format(
          'not acknowledged by the supaqueue function, sent %s times; %s',
          call.dispatches, coalesce(problem, supaqueue.request_outcome(call.request_id))))
      ));
    else
      perform supaqueue.settle_job(call.job, false, jsonb_build_object('error', jsonb_build_object(
        'message', 'lost: the call was not reported within its timeout and the grace after it')));
    end if;
  end loop;

  if to_send <> '{}' then
    with resent as (
      update supaqueue.current_job c
      set id = supaqueue.new_id(), dispatches = c.dispatches + 1, created_at = clock_timestamp(),
        lease_until = clock_timestamp() + supaqueue.ms(limits.dispatch_lease_ms * (c.dispatches + 1.0))
      where c.id = any (to_send)
      returning c.id
    )
    select array_agg(resent.id order by resent.id) into to_send from resent;
    perform supaqueue.send_current_jobs(to_send);
  end if;

  -- Only in the tick: within a report, its own worker has no call for a moment.
  if _queues is null then
    for _job in
      select j.id from supaqueue.job j
      where j.status = 'in_progress' and not exists (select from supaqueue.current_job c where c.job = j.id)
      for no key update skip locked
    loop
      -- Once more, with the row locked: somebody else may have started it again meanwhile.
      if not exists (select from supaqueue.current_job c where c.job = _job) then
        perform supaqueue.settle_job(_job, false, jsonb_build_object('error', jsonb_build_object(
          'message', 'lost: the job was in progress without a current job')));
      end if;
    end loop;
    workers := workers || array(
      select w.id from supaqueue.worker w
      where w.locked
        and not exists (select from supaqueue.current_job c where c.queue = w.queue and c.worker = w.id)
    );
  end if;

  if workers <> '{}' then
    -- All of the caller's queues, so that it takes no lower one after a higher one.
    perform supaqueue.lock_queues('{}', coalesce(_queues, array(select q.id from supaqueue.queue q)));
    update supaqueue.worker w
    set locked = false
    from (
      select l.id from supaqueue.worker l
      where l.id = any (workers) and l.locked
        and not exists (select from supaqueue.current_job c where c.queue = l.queue and c.worker = l.id)
      for no key update skip locked
    ) without_call
    where w.id = without_call.id;
  end if;
end
$$;

-- Reclaims what there is to reclaim, cheap where there is nothing. Never fails.
create or replace function supaqueue.try_reclaim(_queues uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  -- A variable: with the volatile function itself, the index could not be used.
  at timestamptz := clock_timestamp();
begin
  if exists (
    select from supaqueue.current_job c
    where c.lease_until < at and (_queues is null or c.queue = any (_queues))
  ) then
    perform supaqueue.reclaim(_queues);
  end if;
exception
  when others then
    raise warning 'supaqueue could not take back lost calls now: %', sqlerrm
      using hint = 'The tick tries again.', errcode = sqlstate;
end
$$;

--- schema/46_try_start_jobs.sql

-- Starts what can be started in queues whose locks are held, those of _exclusive
-- exclusively. Never fails: what it cannot start stays pending, with a warning, and
-- is started by a later dispatch of the queue or by the tick.
create or replace function supaqueue.try_start_jobs(_queues uuid[], _exclusive uuid[])
returns integer
language plpgsql
set search_path = ''
as $$
declare
  problem record;
begin
  if not exists (
    select from supaqueue.worker w
    join supaqueue.queue q on q.id = w.queue
    where w.queue = any (_queues) and not w.locked and not q.is_paused
  ) then
    return 0;
  end if;

  problem := supaqueue.dispatch_problem();
  if problem.problem is not null then
    raise warning 'supaqueue cannot start jobs: %', problem.problem
      using hint = problem.remedy || ' The jobs stay pending and start by themselves then.';
    return 0;
  end if;
  return supaqueue.start_jobs(_queues, _exclusive);
exception
  when others then
    raise warning 'supaqueue could not start jobs now: %', sqlerrm
      using hint = 'They stay pending; the tick tries again.', errcode = sqlstate;
    return 0;
end
$$;

--- schema/47_dispatch.sql

-- Dispatches queues at the end of a transaction that made something startable.
-- Never fails. Takes back first what the queues lost, so that they recover
-- without pg_cron, too. has_usable_workers: the transaction also made workers usable.
--
-- A transaction of another level than read committed does not see what was
-- committed after it began, so it leaves its jobs to the tick.
--
-- Sessions keep their plans: one that met the tables when they held three jobs would
-- go on reading them whole, or sorting all that waits, when they hold a million. So the
-- ways in (this, end_current_job, tick) plan for indexes, in their order, whatever the
-- tables look like, and once: Postgres would plan the search for the next job anew each
-- time, an eighth of what a report costs.
create or replace function supaqueue.dispatch(_queues uuid[], has_usable_workers boolean default false)
returns integer
language plpgsql
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  _exclusive uuid[];
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    return 0;
  end if;
  perform supaqueue.try_reclaim(_queues);
  _exclusive := array(
    select d.queue from unnest(_queues) as d (queue)
    where has_usable_workers or supaqueue.has_calls_to_adopt(d.queue)
  );
  perform supaqueue.lock_queues(_queues, _exclusive);
  -- With the locks held: who waits for this has none that we wait for.
  perform supaqueue.drop_queue_fronts(_queues, least(now(), supaqueue.earliest_run_at()));
  return supaqueue.try_start_jobs(_queues, _exclusive);
end
$$;

--- schema/48_wake_up.sql

-- Queues that a transaction made startable are dispatched once, at its end.
--
-- A deferred trigger fires once per row. So the first row of a transaction queues
-- the event, and later rows only add their queue to the list that the event will
-- find. The list is a setting local to the transaction: rolling back a savepoint
-- takes list and event along.

-- Adds a queue to the list. True when the transaction has no event yet.
-- has_usable_worker: a worker can be used that could not be used before; not only a job is new.
-- _run_at: the job is due from then on. Where that is before the transaction, hints past it are
-- dropped when the transaction ends.
create or replace function supaqueue.wake_up(
  _queue uuid, has_usable_worker boolean default false, _run_at timestamptz default null
)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  queues text := coalesce(current_setting('supaqueue.queues_to_dispatch', true), '');
begin
  if position(_queue::text in queues) = 0 then
    perform set_config('supaqueue.queues_to_dispatch', queues || _queue || ' ', true);
  end if;
  if has_usable_worker then
    perform set_config('supaqueue.has_usable_workers', 'on', true);
  end if;
  if _run_at < now() and _run_at < coalesce(supaqueue.earliest_run_at(), now()) then
    perform set_config('supaqueue.earliest_run_at', extract(epoch from _run_at)::text, true);
  end if;
  return queues = '';
end
$$;

-- The earliest time since when a job of the list is due, if that is before the transaction.
-- It travels as seconds: the text of a timestamp depends on the session's settings.
create or replace function supaqueue.earliest_run_at()
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
  -- A microsecond early, since the number may have been rounded up.
  return to_timestamp(nullif(current_setting('supaqueue.earliest_run_at', true), '')::double precision)
    - interval '1 microsecond';
end
$$;

-- Returns the list and empties it.
create or replace function supaqueue.take_wake_ups(out queues uuid[], out has_usable_workers boolean)
language plpgsql
set search_path = ''
as $$
declare
  list text := coalesce(current_setting('supaqueue.queues_to_dispatch', true), '');
begin
  has_usable_workers := coalesce(current_setting('supaqueue.has_usable_workers', true), '') = 'on';
  if list = '' then
    queues := '{}';
    return;
  end if;
  perform set_config('supaqueue.queues_to_dispatch', '', true);
  perform set_config('supaqueue.has_usable_workers', '', true);
  queues := array(select q.id from supaqueue.queue q where q.id::text = any (string_to_array(list, ' ')));
end
$$;

--- schema/49_wake_up_after_update.sql

create or replace function supaqueue.wake_up_after_update(_queue uuid, _run_at timestamptz)
returns void
language plpgsql
set search_path = ''
as $$
declare
  event tid;
begin
  if supaqueue.wake_up(_queue, _run_at => _run_at) then
    insert into supaqueue.wake_up_event as e default values returning e.ctid into event;
    -- By its place: to search the table would set serializable transactions against each other.
    delete from supaqueue.wake_up_event e where e.ctid = event;
  end if;
end
$$;

--- schema/50_after_update_job.sql

-- A job that a person or an add-on made pending, or changed while it is, wakes its queue. The end
-- of an attempt (from in_progress) does not: whoever ends it looks for the next job.
--
-- For each row: the engine updates one job at a time, and transition tables cost it a fifth of all
-- that a report costs.
create or replace function supaqueue.after_update_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if new.status = 'pending' and old.status <> 'in_progress' then
    perform supaqueue.wake_up_after_update(new.queue, new.run_at);
  end if;
  return null;
end
$$;

create or replace trigger after_update_job_tg
after update on supaqueue.job
for each row
execute function supaqueue.after_update_job_tg_fn();

--- schema/51_wake_up_triggers.sql

create or replace function supaqueue.dispatch_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform supaqueue.dispatch(w.queues, w.has_usable_workers) from supaqueue.take_wake_ups() w;
  return null;
end
$$;

drop trigger if exists after_insert_job_tg on supaqueue.job;
create constraint trigger after_insert_job_tg
after insert on supaqueue.job
deferrable initially deferred
for each row when (new.status = 'pending' and supaqueue.wake_up(new.queue, _run_at => new.run_at))
execute function supaqueue.dispatch_tg_fn();

drop trigger if exists after_insert_wake_up_event_tg on supaqueue.wake_up_event;
create constraint trigger after_insert_wake_up_event_tg
after insert on supaqueue.wake_up_event
deferrable initially deferred
for each row
execute function supaqueue.dispatch_tg_fn();

drop trigger if exists after_insert_worker_tg on supaqueue.worker;
create constraint trigger after_insert_worker_tg
after insert on supaqueue.worker
deferrable initially deferred
for each row when (supaqueue.wake_up(new.queue, has_usable_worker => true))
execute function supaqueue.dispatch_tg_fn();

drop trigger if exists after_update_worker_tg on supaqueue.worker;
create constraint trigger after_update_worker_tg
after update of queue on supaqueue.worker
deferrable initially deferred
for each row when (new.queue <> old.queue and supaqueue.wake_up(new.queue, has_usable_worker => true))
execute function supaqueue.dispatch_tg_fn();

-- A free worker takes over the call that a worker leaves behind.
drop trigger if exists after_delete_worker_tg on supaqueue.worker;
create constraint trigger after_delete_worker_tg
after delete on supaqueue.worker
deferrable initially deferred
for each row when (old.locked and supaqueue.wake_up(old.queue, has_usable_worker => true))
execute function supaqueue.dispatch_tg_fn();

drop trigger if exists after_move_worker_tg on supaqueue.worker;
create constraint trigger after_move_worker_tg
after update of queue on supaqueue.worker
deferrable initially deferred
for each row when (new.queue <> old.queue and old.locked and supaqueue.wake_up(old.queue, has_usable_worker => true))
execute function supaqueue.dispatch_tg_fn();

drop trigger if exists after_update_queue_tg on supaqueue.queue;
create constraint trigger after_update_queue_tg
after update on supaqueue.queue
deferrable initially deferred
for each row when (old.is_paused and not new.is_paused and supaqueue.wake_up(new.id, has_usable_worker => true))
execute function supaqueue.dispatch_tg_fn();

--- schema/60_answer.sql

-- What a caller of end_current_job is told.
create or replace function supaqueue.answer(state text, reason text, next_record jsonb)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  if reason is null then
    return jsonb_build_object('accepted', state <> 'refused', 'state', state, 'next', next_record);
  end if;
  return jsonb_build_object('accepted', state <> 'refused', 'state', state, 'next', next_record, 'reason', reason);
end
$$;

--- schema/61_hand_out_next_job.sql

-- Gives the lane of a call that ended the next job of its worker, as the record
-- that it needs, already acknowledged. Null when there is none: no job is due,
-- the queue is paused, the next job would take longer than _next_within_ms, or
-- the worker is gone (or going: another transaction is deleting it).
create or replace function supaqueue.hand_out_next_job(call supaqueue.current_job, _next_within_ms integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  queue supaqueue.queue;
  next_job uuid;
  job supaqueue.job;
  next_call supaqueue.current_job;
begin
  if _next_within_ms is null then
    return null;
  end if;
  select q.* into queue
  from supaqueue.worker w
  join supaqueue.queue q on q.id = w.queue
  where w.id = call.worker and w.queue = call.queue and not q.is_paused
  for share of w skip locked;
  if not found then
    return null;
  end if;
  next_job := (supaqueue.due_jobs(queue.id, 1))[1];
  update supaqueue.job j
  set status = 'in_progress', attempts = j.attempts + 1, started_at = clock_timestamp()
  where j.id = next_job and coalesce(j.timeout_ms, queue.timeout_ms) <= _next_within_ms
  returning j.* into job;
  if not found then
    return null;
  end if;

  insert into supaqueue.current_job (queue, worker, job, acknowledged_at, lane, previous, lease_until)
  select
    call.queue, call.worker, job.id, clock_timestamp(), call.lane, call.id,
    clock_timestamp() + supaqueue.ms(coalesce(job.timeout_ms, queue.timeout_ms) + s.lease_grace_ms)
  from supaqueue.setting s
  returning * into next_call;
  return supaqueue.record_of(next_call, job, queue);
end
$$;

--- schema/62_hand_out_sent_call.sql

-- Gives the lane of a call that ended a call of its queue that was sent and that no
-- lane has acknowledged, as the record that it needs, acknowledged by now. Null when
-- there is none, or each would take longer than _next_within_ms.
--
-- It keeps its own worker; that of the call that ended is free then. pg_net sends a
-- batch a second at most, so the lane is there sooner than the dispatch, which is
-- refused when it comes, like any that comes late. What was sent longer ago than a
-- dispatch lease is left to the tick: the index keeps what vacuum may not remove yet.
create or replace function supaqueue.hand_out_sent_call(call supaqueue.current_job, _next_within_ms integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
  limits supaqueue.setting := (select s from supaqueue.setting s);
  sent_call uuid;
  _timeout_ms integer;
begin
  if _next_within_ms is null then
    return null;
  end if;
  select c.id, supaqueue.timeout_of(c.job) into sent_call, _timeout_ms
  from supaqueue.current_job c
  where c.queue = call.queue and c.acknowledged_at is null
    and c.created_at > at - supaqueue.ms(limits.dispatch_lease_ms)
    and supaqueue.timeout_of(c.job) <= _next_within_ms
  order by c.created_at
  limit 1
  for update skip locked;
  if not found then
    return null;
  end if;

  update supaqueue.current_job c
  set acknowledged_at = at, lane = call.lane, previous = call.id,
    lease_until = at + supaqueue.ms(_timeout_ms + limits.lease_grace_ms)
  where c.id = sent_call;
  return supaqueue.record(sent_call);
end
$$;

--- schema/63_free_worker.sql

-- Frees the worker of a call that ended, and starts what can be started then, in
-- its queue and in those that the transaction woke so far.
--
-- Returns the next job instead of freeing the worker where one came up before
-- the lock was had and _next_within_ms asks for it (null: it does not).
create or replace function supaqueue.free_worker(call supaqueue.current_job, _next_within_ms integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  woken record;
  _exclusive uuid[];
  next_record jsonb;
begin
  -- Reclaiming first: what it settles may wake more queues. Not where others are woken
  -- already: it locks ours, and theirs may come before it.
  if coalesce(current_setting('supaqueue.queues_to_dispatch', true), '') = '' then
    perform supaqueue.try_reclaim(array[call.queue]);
  end if;
  woken := supaqueue.take_wake_ups();
  _exclusive := call.queue || array(
    select d.queue from unnest(woken.queues) as d (queue)
    where woken.has_usable_workers or supaqueue.has_calls_to_adopt(d.queue)
  );
  perform supaqueue.lock_queues(woken.queues, _exclusive);

  next_record := supaqueue.hand_out_next_job(call, _next_within_ms);
  if next_record is null then
    update supaqueue.worker w
    set locked = false, last_report = call.id
    from (
      select l.id from supaqueue.worker l
      where l.id = call.worker and l.queue = call.queue
      for no key update skip locked
    ) as still_there
    where w.id = still_there.id;
  end if;
  perform supaqueue.try_start_jobs(call.queue || woken.queues, _exclusive);
  return next_record;
end
$$;

--- schema/64_acknowledge.sql

-- Acknowledges a current job: a lane is about to call the target function.
-- Refused when it is gone or another lane has it, so that a dispatch that came
-- late, twice or again runs nothing.
create or replace function supaqueue.acknowledge(_current_job uuid, _lane uuid)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  call supaqueue.current_job;
  _lease_ms bigint;
begin
  select c.* into call from supaqueue.current_job c where c.id = _current_job for update;
  if not found then
    return supaqueue.answer('refused', 'this current job is unknown, was settled, or was taken back', null);
  elsif call.acknowledged_at is not null and (call.lane = _lane) is not true then
    return supaqueue.answer('refused', 'this current job was acknowledged already', null);
  end if;

  _lease_ms := supaqueue.timeout_of(call.job) + (select s.lease_grace_ms from supaqueue.setting s);
  if _lease_ms is null then
    -- Cancelled or deleted before the call began: there is nothing to run.
    delete from supaqueue.current_job c where c.id = _current_job;
    perform supaqueue.free_worker(call, null);
    return supaqueue.answer('refused', 'the job was cancelled or deleted', null);
  end if;

  update supaqueue.current_job c
  set acknowledged_at = clock_timestamp(), lane = _lane,
    lease_until = clock_timestamp() + supaqueue.ms(_lease_ms)
  where c.id = _current_job;

  -- Its worker is gone, or going: a free one takes the call over. Until it has, nothing
  -- is started in the queue, and who would have started it had to leave this call alone.
  perform from supaqueue.worker w where w.id = call.worker and w.queue = call.queue for share skip locked;
  if not found then
    perform supaqueue.lock_queues('{}', array[call.queue]);
    perform supaqueue.try_start_jobs(array[call.queue], array[call.queue]);
  end if;
  return supaqueue.answer('started', null, null) || jsonb_build_object('lease_ms', _lease_ms);
end
$$;

--- schema/65_report.sql

-- The answer to a report whose current job is gone: the one it had before if
-- this is a repetition, else a refusal without effect.
--
-- The next job that it names gets its whole lease again: the lane hears of it only
-- now, however long ago it was handed out, and calls the target for its whole timeout.
create or replace function supaqueue.repeated_answer(_current_job uuid)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
  next_call uuid;
begin
  update supaqueue.current_job c
  set acknowledged_at = at, lease_until = at + (c.lease_until - c.acknowledged_at)
  where c.previous = _current_job
  returning c.id into next_call;
  if found then
    return supaqueue.answer('settled', null, supaqueue.record(next_call));
  elsif exists (select from supaqueue.worker w where w.last_report = _current_job) then
    return supaqueue.answer('settled', null, null);
  end if;
  return supaqueue.answer('refused', 'this current job is unknown, was settled, or was taken back', null);
end
$$;

-- Settles the job of a current job, and hands its worker's next job to the caller.
-- Where that has none the worker is freed, and the caller gets what waits for pg_net.
create or replace function supaqueue.report(
  _current_job uuid, _is_successful boolean, _report jsonb, _next_within_ms integer
)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  _lane uuid := supaqueue.uuid_or_null(_report ->> 'lane');
  call supaqueue.current_job;
  next_record jsonb;
begin
  delete from supaqueue.current_job c
  where c.id = _current_job and (c.lane <> _lane) is not true
  returning c.* into call;
  if not found then
    if exists (select from supaqueue.current_job c where c.id = _current_job) then
      return supaqueue.answer('refused', 'another lane has this current job', null);
    end if;
    return supaqueue.repeated_answer(_current_job);
  end if;

  perform supaqueue.settle_job(call.job, _is_successful, _report);

  next_record := supaqueue.hand_out_next_job(call, _next_within_ms);
  if next_record is null then
    next_record := supaqueue.hand_out_sent_call(call, _next_within_ms);
    if next_record is null then
      next_record := supaqueue.free_worker(call, _next_within_ms);
    else
      perform supaqueue.free_worker(call, null);
    end if;
  end if;
  return supaqueue.answer('settled', null, next_record);
end
$$;

--- schema/66_end_current_job.sql

-- The one function that the supaqueue function calls. It lives in public
-- because PostgREST exposes that schema; only service_role may call it.
--
-- _is_complete false acknowledges ("started"), true reports. The first three
-- arguments are enough to settle a job. _report may hold:
--   lane            uuid of the caller's lane, so that an acknowledgement can be repeated
--   http_status     of the target function's answer
--   duration_ms     of the call
--   result          of a success, any JSON
--   error           of a failure: {"message": text, "body": text}
--   retry_after_ms  not to be retried earlier
--   is_final        true: failed at once
--   is_attempt      false: the target was never reached; the attempt is given back
-- _next_within_ms asks for the worker's next job, if its timeout is at most that.
--
-- Returns {"accepted", "state": "started" | "settled" | "refused", "reason", "next"}.
-- "started" comes with lease_ms: within that the call has to be reported.
-- A report can be repeated: it gets the same answer, the same next job included.
create or replace function public.end_current_job(
  cur_job_id uuid,
  _is_complete boolean,
  _is_successful boolean,
  _report jsonb default '{}',
  _next_within_ms integer default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  if cur_job_id is null or _is_complete is null or (_is_complete and _is_successful is null) then
    raise exception 'cannot end a current job: cur_job_id, _is_complete and _is_successful must not be null'
      using errcode = 'null_value_not_allowed';
  end if;
  if not _is_complete then
    return supaqueue.acknowledge(cur_job_id, supaqueue.uuid_or_null(_report ->> 'lane'));
  end if;
  return supaqueue.report(cur_job_id, _is_successful, coalesce(_report, '{}'), _next_within_ms);
end
$$;
comment on function public.end_current_job is 'Supaqueue: acknowledges or reports a call; used by the supaqueue function, with the service role key';

-- As in the original, marking a current job complete by hand settles it too.
create or replace function supaqueue.after_update_current_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform public.end_current_job(new.id, true, coalesce(new.is_successful, false));
  return null;
end
$$;

create or replace trigger after_update_current_job_tg
after update on supaqueue.current_job
for each row when (new.is_complete and not old.is_complete)
execute function supaqueue.after_update_current_job_tg_fn();

--- schema/70_delete_finished_jobs.sql

-- Deletes finished jobs that their queue no longer keeps, the oldest first, at
-- most retention_batch of them; returns how many.
--
-- An add-on that must keep a job from this finds the setting
-- supaqueue.is_retention 'on' in a trigger, and may then skip the row.
create or replace function supaqueue.delete_finished_jobs()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  batch integer := (select s.retention_batch from supaqueue.setting s);
  old_jobs uuid[] := array(
    select old.id
    from supaqueue.queue q
    cross join lateral (values
      ('successful', q.keep_successful_for), ('cancelled', q.keep_successful_for), ('failed', q.keep_failed_for)
    ) as kept (status, duration)
    cross join lateral (
      select f.id
      from supaqueue.job f
      where f.queue = q.id and f.status = kept.status and f.finished_at < now() - kept.duration
      order by f.finished_at
      limit batch
      for update skip locked
    ) old
    where kept.duration is not null
    limit batch
  );
  deleted bigint;
begin
  if old_jobs = '{}' then
    return 0;
  end if;
  perform set_config('supaqueue.is_retention', 'on', true);
  delete from supaqueue.job j where j.id = any (old_jobs);
  get diagnostics deleted = row_count;
  perform set_config('supaqueue.is_retention', 'off', true);
  return deleted;
end
$$;

--- schema/71_purge_tick_history.sql

-- Deletes what pg_cron keeps of each run of the tick, for ever otherwise, after an hour.
create or replace function supaqueue.purge_tick_history()
returns void
language plpgsql
set search_path = ''
as $$
begin
  if to_regclass('cron.job_run_details') is not null then
    delete from cron.job_run_details d
    using cron.job j
    where j.jobid = d.jobid and j.jobname = 'supaqueue_tick' and d.end_time < now() - interval '1 hour';
  end if;
end
$$;

--- schema/72_tick.sql

-- All periodic work: takes back lost calls, starts what is due,
-- deletes what is no longer kept. Safe to run at any time, also twice at
-- once; cheap when there is nothing to do.
create or replace function supaqueue.tick()
returns void
language plpgsql
security definer
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
declare
  queues uuid[];
begin
  if not pg_try_advisory_xact_lock(hashtextextended('supaqueue.tick', 0)) then
    return;
  end if;
  perform supaqueue.delete_finished_jobs();

  begin
    perform supaqueue.reclaim(null);
  exception
    when others then
      raise warning 'supaqueue could not take back lost calls now: %', sqlerrm
        using hint = 'The next tick tries again.', errcode = sqlstate;
  end;

  queues := array(
    select q.id
    from supaqueue.queue q
    where not q.is_paused
      and exists (select from supaqueue.worker w where w.queue = q.id and not w.locked)
      -- One row for each queue: without "offset 0" it may be a join that reads all that is pending.
      and exists (select from supaqueue.job j where j.queue = q.id and j.status = 'pending' offset 0)
  );
  if queues <> '{}' then
    perform supaqueue.dispatch(queues);
  end if;

  perform supaqueue.drop_queue_fronts(null, '-infinity');
  if random() < 0.01 then
    perform supaqueue.purge_tick_history();
  end if;
end
$$;
comment on function supaqueue.tick is 'All periodic work of Supaqueue; pg_cron runs it (see supaqueue.schedule_tick)';

--- schema/73_schedule_tick.sql

-- Schedules the tick with pg_cron: every 5 seconds where its version can, else
-- every minute. Returns the schedule, or null where there is no pg_cron.
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
    perform cron.schedule('supaqueue_tick', schedule, 'select supaqueue.tick()');
  end if;
  return schedule;
end
$$;
comment on function supaqueue.schedule_tick is 'Has pg_cron run supaqueue.tick(); without pg_cron jobs that wait (retries, run_at, lost calls) go on only when the queue is next used';

--- schema/80_queue_status.sql

-- Jobs are counted up to 100,001 per status: asking must not cost what a backlog of millions costs.
-- Each condition is that of a partial index of supaqueue.job.
create or replace view supaqueue.queue_status with (security_invoker = true) as
select
  q.id,
  q.name,
  q.edge_function_name,
  q.is_paused,
  (select count(*) from supaqueue.worker w where w.queue = q.id) as workers,
  (select count(*) from supaqueue.worker w where w.queue = q.id and w.locked) as busy_workers,
  (select count(*) from (select from supaqueue.job j where j.queue = q.id and j.status = 'pending' limit 100001) c) as pending,
  (select count(*) from (select from supaqueue.job j where j.queue = q.id and j.status = 'waiting' limit 100001) c) as waiting,
  (select count(*) from (select from supaqueue.job j where j.queue = q.id and j.status = 'in_progress' limit 100001) c) as in_progress,
  (select count(*) from (select from supaqueue.job j where j.queue = q.id and j.status = 'successful' and j.finished_at is not null limit 100001) c) as successful,
  (select count(*) from (select from supaqueue.job j where j.queue = q.id and j.status = 'failed' and j.finished_at is not null limit 100001) c) as failed,
  (select count(*) from (select from supaqueue.job j where j.queue = q.id and j.status = 'cancelled' and j.finished_at is not null limit 100001) c) as cancelled
from supaqueue.queue q;
comment on view supaqueue.queue_status is 'Each queue with its workers and its number of jobs per status; 100001 means more than 100,000';

--- schema/81_problem.sql

create or replace function supaqueue.problems()
returns table (queue text, job uuid, problem text, remedy text)
language sql
stable
security definer
set search_path = ''
as $$
  select null::text, null::uuid, p.problem, p.remedy
  from supaqueue.dispatch_problem() p
  where p.problem is not null
  union all
  select q.name, null, 'the queue has no workers', format('Run: select supaqueue.set_workers(%L, 1);', q.name)
  from supaqueue.queue q
  where not exists (select from supaqueue.worker w where w.queue = q.id)
    and exists (select from supaqueue.job j where j.queue = q.id and j.status = 'pending')
  union all
  select
    q.name, c.job,
    format('sent to the supaqueue function %s times without being acknowledged; of the last, %s',
      c.dispatches, supaqueue.request_outcome(c.request_id)),
    'See the function''s logs, and run `supaqueue doctor`.'
  from supaqueue.current_job c
  join supaqueue.queue q on q.id = c.queue
  where c.acknowledged_at is null and c.dispatches > 1
$$;

create or replace view supaqueue.problem with (security_invoker = true) as
select * from supaqueue.problems();
comment on view supaqueue.problem is 'Why jobs are not running, with the remedy; empty when all is well';

--- schema/82_explain.sql

-- Why a job is not running, in one plain sentence: the first reason of those that
-- hold, from the job's own to its queue's to the project's.
--
-- No more than ten thousand jobs before it are counted: asking must not cost what
-- the backlog costs.
create or replace function supaqueue.explain(job uuid)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  _at timestamptz := clock_timestamp();
  _job supaqueue.job;
  _queue supaqueue.queue;
  _call supaqueue.current_job;
  attempts text;
  workers bigint;
  free_workers bigint;
  jobs_before bigint;
  problem text;
begin
  select j.* into _job from supaqueue.job j where j.id = explain.job;
  if not found then
    return 'There is no such job: it was never committed, or it was deleted, as finished jobs are after a while.';
  end if;
  select q.* into _queue from supaqueue.queue q where q.id = _job.queue;
  select c.* into _call from supaqueue.current_job c where c.job = _job.id;
  attempts := format('attempt %s of %s', _job.attempts, coalesce(_job.max_attempts, _queue.max_attempts));
  select format(' %s: %s.', case when p.job is null then 'Nothing can be sent' else 'Its queue has a problem' end, p.problem)
  into problem
  from supaqueue.problems() p
  where (p.queue is null or p.queue = _queue.name) and (p.job is null or p.job = _job.id or _job.status = 'pending')
  order by p.job = _job.id desc nulls last, p.queue is null desc
  limit 1;

  case _job.status
    when 'successful' then
      return format('It has finished: successful since %s.', date_trunc('second', _job.finished_at));
    when 'failed' then
      return format('It has finished: failed since %s, after %s%s.', date_trunc('second', _job.finished_at), attempts,
        ': ' || (_job.errors -> -1 ->> 'message'));
    when 'cancelled' then
      return format('It has finished: cancelled since %s%s.', date_trunc('second', _job.finished_at),
        case when _call.id is not null then '; the call that is still under way ends by itself' end);
    when 'in_progress' then
      return case
        when _call.id is null then
          'It is in_progress without a call: the next tick counts that as a lost attempt.'
        when _call.acknowledged_at is null then
          format('It was sent to the supaqueue function (%s, since %s, on worker %s) and not acknowledged yet; it is sent again after %s.%s',
            attempts, date_trunc('second', _job.started_at), _call.worker, date_trunc('second', _call.lease_until), problem)
        else
          format('It is running: %s, since %s, on worker %s, with a lease until %s.',
            attempts, date_trunc('second', _job.started_at), _call.worker, date_trunc('second', _call.lease_until))
      end;
    when 'waiting' then
      return format('It is held until somebody releases it: update supaqueue.job set status = ''pending'' where id = %L;', _job.id);
    else
      null;
  end case;

  if _job.run_at > _at then
    return format('It is due at %s%s.', date_trunc('second', _job.run_at),
      case when _job.attempts > 0 then format(', for a retry after %s failed', attempts) end);
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
        select from supaqueue.job j
        where j.queue = _queue.id and j.status = 'pending' and j.run_at <= _at
          and (j.priority, j.run_at, j.position) < (_job.priority, _job.run_at, _job.position)
        limit 10001
      ) due
    );
    return format('All workers of its queue are busy (%s of %s), and %s due jobs are before it.%s', workers, workers,
      case when jobs_before > 10000 then 'more than 10000' else jobs_before::text end, problem);
  elsif problem is not null then
    return ltrim(problem);
  end if;
  return 'It is due and about to start: at the next tick at the latest.';
end
$$;
comment on function supaqueue.explain is 'Why a job is not running, in one plain sentence';

--- schema/85_queue_id.sql

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
  if id is null then
    raise exception 'there is no queue named %', coalesce(quote_literal(queue_name), 'null')
      using errcode = 'no_data_found',
        hint = 'Create it: insert into supaqueue.queue (name, edge_function_name) values (…). Those there are: select name from supaqueue.queue.';
  end if;
  return id;
end
$$;

--- schema/86_enqueue.sql

create or replace function supaqueue.enqueue(
  queue_name text,
  payload jsonb default '{}',
  priority integer default 0,
  run_at timestamptz default now(),
  headers jsonb default null,
  max_attempts integer default null,
  timeout_ms integer default null
)
returns uuid
language sql
set search_path = ''
as $$
  insert into supaqueue.job (queue, payload, priority, run_at, headers, max_attempts, timeout_ms)
  values (supaqueue.queue_id(queue_name), payload, priority, run_at, headers, max_attempts, timeout_ms)
  returning id
$$;
comment on function supaqueue.enqueue(text, jsonb, integer, timestamptz, jsonb, integer, integer) is 'Puts a job in the queue of that name; returns its id';

--- schema/87_enqueue_many.sql

create or replace function supaqueue.enqueue_many(
  queue_name text,
  payloads jsonb[],
  priority integer default 0,
  run_at timestamptz default now(),
  headers jsonb default null,
  max_attempts integer default null,
  timeout_ms integer default null
)
returns setof uuid
language plpgsql
set search_path = ''
as $$
declare
  _queue uuid := supaqueue.queue_id(queue_name);
begin
  return query
  insert into supaqueue.job (queue, payload, priority, run_at, headers, max_attempts, timeout_ms)
  select
    _queue, item.payload, enqueue_many.priority, enqueue_many.run_at, enqueue_many.headers,
    enqueue_many.max_attempts, enqueue_many.timeout_ms
  from unnest(payloads) with ordinality as item (payload, number)
  order by item.number
  returning id;
end
$$;
comment on function supaqueue.enqueue_many(text, jsonb[], integer, timestamptz, jsonb, integer, integer) is 'Puts a job per payload in the queue of that name; returns their ids in the same order';

--- schema/88_set_workers.sql

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

--- schema/91_take_tables.sql

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

--- schema/92_protect_new_objects.sql

-- Lets only postgres and service_role reach what this version has made.
--
-- Revoked by name: PUBLIC can execute every new function, and the platform's
-- default privileges add anon and authenticated in the schema public.
--
-- What was there before stays as it is, since users may have granted some of it to
-- other roles. The transaction's setting supaqueue.known_objects lists it.
--
-- _writes: how service_role may write to tables that it may not only read,
-- such as {"queue": "insert, update"}.
create or replace function supaqueue.protect_new_objects(_writes jsonb)
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
    select 'function', p.oid, p.oid::regprocedure::text, 'execute'
    from pg_catalog.pg_proc p
    where p.pronamespace = 'supaqueue'::regnamespace
      or (p.pronamespace = 'public'::regnamespace and p.proname = 'end_current_job')
  loop
    continue when object.kind || object.oid = any (known);
    execute format('revoke all on %s %s from %s', object.kind, object.name, outsiders);
    if has_service_role then
      execute format('grant %s on %s %s to service_role', object.privileges, object.kind, object.name);
    end if;
  end loop;
end
$$;

--- schema/93_privileges.sql

select supaqueue.protect_new_objects('{
  "queue": "insert, update, delete",
  "worker": "insert, update, delete",
  "job": "insert, update, delete",
  "setting": "update"
}');

--- end

do $$
begin
  if current_setting('supaqueue.applying', true) is distinct from 'supaqueue 1' then
    raise exception 'cannot record version 1 of supaqueue: it was not applied in one transaction'
      using errcode = 'no_active_sql_transaction',
        hint = 'Remove what was made with sql/remove.sql, then apply the migration as a whole: psql -v ON_ERROR_STOP=1 -1 -f <file>.';
  end if;
  insert into supaqueue.version (part, number, name, finished_at) values ('supaqueue', 1, '0001_supaqueue', now());
end
$$;
