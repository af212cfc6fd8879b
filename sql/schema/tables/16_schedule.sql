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
