-- Changes of jobs that have not reached all their targets yet. A statement propagates to a thousand targets
-- at most; the tick and later reports do the rest.
--
-- A row is about the targets from from_target to to_target, for which the source still counts as old_status.
-- The rows of a source are done in the order of their numbers.
create table supaqueue.propagation (
  source uuid not null,
  number integer not null,
  old_status text not null,
  new_status text not null,
  is_deleted boolean not null,
  from_target uuid not null,
  to_target uuid not null,
  step integer not null,
  since timestamptz not null default clock_timestamp(),
  retry_at timestamptz not null default '-infinity',
  primary key (source, number, from_target)
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table supaqueue.propagation enable row level security;

create index propagation_order on supaqueue.propagation (retry_at, since);
create index propagation_of_retry on supaqueue.propagation (source) where new_status in ('pending', 'waiting');

comment on table supaqueue.propagation is 'Changes of jobs that have not reached all their targets yet; maintained by Supaqueue';
comment on column supaqueue.propagation.is_deleted is 'Whether the source was deleted: dependencies that block nothing go with it';
comment on column supaqueue.propagation.step is 'Number of targets to try at once; smaller after a failure';
comment on column supaqueue.propagation.retry_at is 'When to try again, after a failure';

-- What changes for one target: differences of its counts, a source that failed, and whether the user set it
-- to pending (it then waits again if it has unfinished sources).
create type supaqueue.target_change as (
  target uuid, unfinished integer, failed integer, failed_source uuid, is_requeued boolean
);
