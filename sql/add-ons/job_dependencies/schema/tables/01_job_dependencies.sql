-- No foreign keys: within a transaction a dependency may be inserted before its
-- jobs (both must exist at the commit), and one whose deleted source blocks a
-- target is kept, so that the user can see and delete it.
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
alter table supaqueue.job_dependencies enable row level security;

create index job_dependencies_source on supaqueue.job_dependencies (source, target);

-- Because of a single source with ten thousand targets, Postgres would expect as many of
-- every source, and scan all of the wrong index for a job that has none.
alter table supaqueue.job_dependencies
  alter column source set (n_distinct = -0.1),
  alter column target set (n_distinct = -0.1);

comment on table supaqueue.job_dependencies is 'Which job waits for which: a target is waiting until all its sources are successful';
comment on column supaqueue.job_dependencies.source is 'The job that must finish first';
comment on column supaqueue.job_dependencies.target is 'The job that waits; it must not have started yet';
comment on column supaqueue.job_dependencies.on_failure is 'What to do when the source fails, is cancelled, or is deleted before it finished: fail cancels the target, wait keeps it waiting, continue ignores the source';
comment on column supaqueue.job_dependencies.pass_result is 'Whether the result of the source is added to the target''s payload, under "sources"';
