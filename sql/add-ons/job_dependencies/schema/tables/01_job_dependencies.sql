-- No foreign keys: a dependency may come before its jobs in a transaction (at the
-- end of it both must exist), and one whose source is deleted stays with a target
-- that it holds up, where a person can see it and delete it.
create table supaqueue.job_dependencies (
  source uuid not null,
  target uuid not null,
  created_at timestamptz not null default now(),
  on_failure text not null default 'fail',
  pass_result boolean not null default false,
  constraint target_waits_for_a_source_once primary key (target, source),
  constraint job_does_not_wait_for_itself check (source <> target),
  constraint on_failure_is_fail_wait_or_continue check (on_failure in ('fail', 'wait', 'continue'))
);

create index job_dependencies_source on supaqueue.job_dependencies (source, target);

alter table supaqueue.job_dependencies enable row level security;

-- One source of ten thousand targets, and Postgres would expect as many of each, and read
-- the wrong index whole for a job that has none.
alter table supaqueue.job_dependencies
  alter column source set (n_distinct = -0.1),
  alter column target set (n_distinct = -0.1);

comment on table supaqueue.job_dependencies is 'The target starts when all its sources are successful; until then it is waiting';
comment on column supaqueue.job_dependencies.source is 'The job that must end first';
comment on column supaqueue.job_dependencies.target is 'The job that waits; one that has not started yet';
comment on column supaqueue.job_dependencies.on_failure is 'When the source fails, is cancelled, or is deleted before it ended: fail cancels the target, wait leaves it waiting, continue runs it anyway';
comment on column supaqueue.job_dependencies.pass_result is 'Whether the target finds the result of the source in its payload, under "sources"';
