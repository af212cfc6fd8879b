-- What each target still waits for, counted, so that the end of a source costs its
-- own edges and not those of its targets.
--
-- Always, for each target: unfinished and failed are the sums of dependency_effect
-- over its sources. The row is the lock under which add-on and sources that end at
-- the same moment decide about the target: the last one sees what the others did.
create table supaqueue.dependent_job (
  id uuid primary key,
  position bigint not null,
  unfinished integer not null default 0,
  failed integer not null default 0,
  is_cancelled_for_source boolean not null default false
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000);
alter table supaqueue.dependent_job enable row level security;

comment on table supaqueue.dependent_job is 'The targets of job dependencies, each with what it still waits for; kept by Supaqueue';
comment on column supaqueue.dependent_job.id is 'The target';
comment on column supaqueue.dependent_job.position is 'The position of the target, which tells it from a deleted job that had the same id';
comment on column supaqueue.dependent_job.unfinished is 'Sources that it waits for';
comment on column supaqueue.dependent_job.failed is 'Sources that failed, with on_failure fail';
comment on column supaqueue.dependent_job.is_cancelled_for_source is 'Whether it was cancelled because a source failed, so that a retry of the source brings it back';
