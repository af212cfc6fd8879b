-- What each target still waits for, as counts, so that the cost of finishing a source
-- depends on its own dependencies and not on those of its targets.
--
-- Invariant: unfinished and failed are the sums of dependency_effect over the target's
-- sources. The row is also a lock: sources that finish at the same moment update the
-- target one after another, so the last one sees what the others did.
create table supaqueue.dependent_job (
  id uuid primary key,
  position bigint not null,
  unfinished integer not null default 0,
  failed integer not null default 0,
  is_cancelled_for_source boolean not null default false
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
alter table supaqueue.dependent_job enable row level security;

comment on table supaqueue.dependent_job is 'The targets of job dependencies and what they still wait for; maintained by Supaqueue';
comment on column supaqueue.dependent_job.id is 'The target';
comment on column supaqueue.dependent_job.position is 'The position of the target, which distinguishes it from a deleted job with the same id';
comment on column supaqueue.dependent_job.unfinished is 'Number of sources it still waits for';
comment on column supaqueue.dependent_job.failed is 'Number of failed sources with on_failure = fail';
comment on column supaqueue.dependent_job.is_cancelled_for_source is 'Whether it was cancelled because a source failed; if so, retrying the source restores it';
