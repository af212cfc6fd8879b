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
