-- Version 1 of job_dependencies, assembled by `cargo xtask sql build`. Apply it in one transaction.

--- needs

do $$
begin
  if to_regclass('supaqueue.version') is null then
    raise exception 'cannot apply version 1 of job_dependencies: Supaqueue is not installed in this database'
      using errcode = 'object_not_in_prerequisite_state', hint = 'Run `supaqueue install` first.';
  end if;
end
$$;

--- begin

do $$
declare
  installed integer;
begin
  if to_regclass('supaqueue.version') is not null then
    execute 'select max(v.number) from supaqueue.version v where v.part = $1' into installed using 'job_dependencies';
  end if;
  if coalesce(installed, 0) <> 0 then
    raise exception 'cannot apply version 1 of job_dependencies: this database has %', coalesce('version ' || installed, 'none')
      using errcode = 'object_not_in_prerequisite_state',
        hint = 'Nothing was changed. `supaqueue install` applies the versions that are missing.';
  end if;
  -- Before anything is changed: a busy project uses the tables all the time.
  if to_regproc('supaqueue.take_tables') is not null then
    perform supaqueue.take_tables();
  end if;
  -- Forgotten at the end of the transaction, so that `end` notices where there was none.
  perform set_config('supaqueue.applying', 'job_dependencies 1', true);
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

--- schema/tables/01_job_dependencies.sql

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

--- schema/tables/02_dependent_job.sql

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

--- schema/tables/03_dependency_change.sql

-- The changes to dependencies that a transaction has made but not counted yet. They are
-- counted at the commit, so that a long transaction holds no lock that a report needs.
-- Unlogged, since no row outlives its transaction.
create unlogged table supaqueue.dependency_change (
  xact xid8 not null default pg_current_xact_id(),
  source uuid not null,
  target uuid not null,
  on_failure text not null,
  is_added boolean not null,
  is_first boolean not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
alter table supaqueue.dependency_change enable row level security;

create index dependency_change_xact on supaqueue.dependency_change (xact);

comment on table supaqueue.dependency_change is 'Changes to job dependencies until their transaction commits; maintained by Supaqueue';
comment on column supaqueue.dependency_change.is_first is 'Whether this is the row whose trigger counts all changes of the transaction';

--- schema/tables/04_dependency_turn.sql

-- Two transactions that add dependencies to the same jobs take turns by updating this row,
-- so that they cannot close a cycle together. It is a row rather than an advisory lock so
-- that a transaction with an older snapshot fails instead of missing the other's changes.
create table supaqueue.dependency_turn (
  is_only_row boolean primary key default true,
  number bigint not null default 0,
  constraint there_is_only_one_row check (is_only_row)
) with (fillfactor = 10);
alter table supaqueue.dependency_turn enable row level security;

insert into supaqueue.dependency_turn default values;

comment on table supaqueue.dependency_turn is 'Transactions that add job dependencies take turns on its only row; maintained by Supaqueue';

--- schema/05_dependency_effect.sql

-- What one source contributes to these counts.
create or replace view supaqueue.dependency_effect with (security_invoker = true) as
select
  s.status,
  f.on_failure,
  case when s.state = 'open' or (s.state = 'failed' and f.on_failure = 'wait') then 1 else 0 end as unfinished,
  case when s.state = 'failed' and f.on_failure = 'fail' then 1 else 0 end as failed
from (values
  ('pending', 'open'), ('waiting', 'open'), ('in_progress', 'open'),
  ('successful', 'successful'), ('failed', 'failed'), ('cancelled', 'failed')
) as s (status, state)
cross join (values ('fail'), ('wait'), ('continue')) as f (on_failure);
comment on view supaqueue.dependency_effect is 'What a source adds to the counts in supaqueue.dependent_job, by its status and on_failure';

--- schema/10_find_cycle.sql

-- Returns the nodes of a cycle in a graph, in order, or null if it has none.
--
-- Kahn's algorithm: removes nodes without incoming edges until none is left; the nodes
-- that remain contain a cycle. Linear in the edges: nodes are numbered, and the edges
-- that leave node n are leaving[first_edge[n]] to leaving[first_edge[n + 1] - 1].
create or replace function supaqueue.find_cycle(sources text[], targets text[])
returns text[]
language plpgsql
immutable
set search_path = ''
-- The best joins depend on the number of edges.
set plan_cache_mode = force_custom_plan
as $$
declare
  names text[];
  first_edge integer[];
  leaving integer[];
  arriving integer[];
  free_nodes integer[];
  free_count integer;
  head integer := 1;
  node integer;
  target integer;
  predecessor integer[];
  path integer[] := '{}';
begin
  with name as (
    select n.name, (row_number() over (order by n.name))::integer as number
    from (select unnest(sources) union select unnest(targets)) as n (name)
  ),
  edge as (
    select s.number as source, t.number as target
    from unnest(sources, targets) as e (source, target)
    join name s on s.name = e.source
    join name t on t.name = e.target
  ),
  node as (
    select n.name, n.number, coalesce(o.edges, 0) as edges_out, coalesce(i.edges, 0) as edges_in
    from name n
    left join (select e.source as number, count(*) as edges from edge e group by e.source) o using (number)
    left join (select e.target as number, count(*) as edges from edge e group by e.target) i using (number)
  )
  select
    array_agg(n.name order by n.number),
    array_agg((1 + n.edges_before)::integer order by n.number) || (1 + sum(n.edges_out))::integer,
    array_agg(n.edges_in::integer order by n.number),
    array_agg(n.number order by n.number) filter (where n.edges_in = 0),
    (select array_agg(e.target order by e.source) from edge e)
  into names, first_edge, arriving, free_nodes, leaving
  from (
    select n.*, sum(n.edges_out) over (order by n.number) - n.edges_out as edges_before from node n
  ) n;

  free_nodes := coalesce(free_nodes, '{}');
  free_count := cardinality(free_nodes);
  while head <= free_count loop
    node := free_nodes[head];
    head := head + 1;
    for edge in first_edge[node] .. first_edge[node + 1] - 1 loop
      target := leaving[edge];
      arriving[target] := arriving[target] - 1;
      if arriving[target] = 0 then
        free_count := free_count + 1;
        free_nodes[free_count] := target;
      end if;
    end loop;
  end loop;
  if free_count = coalesce(cardinality(names), 0) then
    return null;
  end if;

  -- Each remaining node has a remaining predecessor: walk backwards until a node repeats.
  for node in 1 .. cardinality(names) loop
    continue when arriving[node] = 0;
    for edge in first_edge[node] .. first_edge[node + 1] - 1 loop
      predecessor[leaving[edge]] := node;
    end loop;
  end loop;
  node := (select n.number from unnest(arriving) with ordinality as n (edges, number) where n.edges > 0 limit 1);
  while array_position(path, node) is null loop
    path := node || path;
    node := predecessor[node];
  end loop;
  path := path[1:array_position(path, node)];
  return array(select names[p.number] from unnest(path) with ordinality as p (number, place) order by p.place);
end
$$;

--- schema/11_reachable.sql

-- Here and in all following files, the add-on reads its tables row by row through an index, whatever
-- the statistics were when a session planned the query (see the core's dispatch). The planner may
-- arrange a join as it likes, and then scans a table that was small at the time; it cannot rearrange
-- a lateral subquery with "offset 0", and an "order by" in it selects the index with that order.
-- Rows to update or delete are found in the same way and identified by their ctid. Rows that the
-- statement itself locks cannot be identified like that: it would miss the version that another
-- transaction has written meanwhile.

-- Returns the given jobs and all jobs that depend on them, directly or indirectly.
create or replace function supaqueue.reachable(jobs uuid[])
returns uuid[]
language sql
stable
set search_path = ''
as $$
  with recursive reached (job) as (
    select unnest(jobs)
    union
    select e.target
    from reached r
    cross join lateral (
      select d.target from supaqueue.job_dependencies d where d.source = r.job offset 0
    ) e
  )
  select coalesce(array_agg(r.job), '{}') from reached r
$$;

--- schema/12_refuse_cycle.sql

-- Fails if the dependencies that this transaction added close a cycle.
--
-- Such a cycle contains an added dependency, so only jobs that can be reached from the
-- added targets are searched.
create or replace function supaqueue.refuse_cycle()
returns void
language plpgsql
set search_path = ''
as $$
declare
  me xid8 := pg_current_xact_id();
  reached uuid[] := supaqueue.reachable(array(
    select distinct c.target from supaqueue.dependency_change c where c.xact = me and c.is_added
  ));
  members text[];
begin
  if not exists (
    select c.source from supaqueue.dependency_change c where c.xact = me and c.is_added
    intersect
    select unnest(reached)
  ) then
    return;
  end if;

  select supaqueue.find_cycle(array_agg(e.source::text), array_agg(e.target::text)) into members
  from unnest(reached) as r (job)
  cross join lateral (
    select d.source, d.target from supaqueue.job_dependencies d where d.source = r.job offset 0
  ) e;
  if members is not null then
    raise exception 'cannot make job % wait for job %: they would wait for each other',
      members[1], members[cardinality(members)]
      using errcode = 'check_violation',
        detail = 'Each waits for the one before it: '
          || array_to_string(members[1:20], ' → ') || case when cardinality(members) > 20 then ' → …' else '' end
          || ' → ' || members[1];
  end if;
end
$$;

--- schema/20_targets_of_failure.sql

-- Returns the targets that a failure of the sources, or its retry, affects: their own, and those of
-- each target that it cancels or restores.
create or replace function supaqueue.targets_of_failure(_sources uuid[])
returns uuid[]
language sql
stable
set search_path = ''
as $$
  with recursive reached (job, is_cancelled) as (
    select e.target, e.on_failure = 'fail'
    from unnest(_sources) as s (id)
    cross join lateral (
      select d.target, d.on_failure from supaqueue.job_dependencies d where d.source = s.id offset 0
    ) e
    union
    select e.target, e.on_failure = 'fail'
    from reached r
    cross join lateral (
      select d.target, d.on_failure from supaqueue.job_dependencies d where d.source = r.job offset 0
    ) e
    where r.is_cancelled
  )
  select coalesce(array_agg(distinct r.job), '{}') from reached r
$$;

--- schema/21_lock_dependents.sql

-- Locks the counts of jobs, and of the targets that a change of the sources can affect, in the
-- order of their ids and all at once: locking more of them later could deadlock.
--
-- A source that succeeds affects only its own targets. One that fails or is retried also affects
-- the targets of those that it cancels or restores (is_transitive).
create or replace function supaqueue.lock_dependents(_jobs uuid[], _sources uuid[], is_transitive boolean)
returns void
language plpgsql
set search_path = ''
as $$
declare
  reached uuid[];
begin
  if is_transitive then
    reached := supaqueue.targets_of_failure(_sources);
  else
    reached := array(
      select e.target
      from unnest(_sources) as s (id)
      cross join lateral (select d.target from supaqueue.job_dependencies d where d.source = s.id offset 0) e
    );
  end if;
  perform
  from (select distinct unnest(_jobs || reached) as id order by id) c
  cross join lateral (select from supaqueue.dependent_job d where d.id = c.id for update) d;
end
$$;

--- schema/22_update_targets.sql

-- Adds differences to the counts of targets, and sets the statuses that follow: pending if
-- nothing is left to wait for, cancelled if a source failed, waiting if a source is retried.
-- Returns the targets whose status changed.
--
-- The counts must be locked (lock_dependents). _failed_sources has a failed source of each
-- target, _requeued whether the user set the target to pending: it then waits again if it
-- has unfinished sources.
create or replace function supaqueue.update_targets(
  _targets uuid[], _unfinished integer[], _failed integer[], _failed_sources uuid[], _requeued boolean[],
  out jobs uuid[], out old_statuses text[], out new_statuses text[]
)
language plpgsql
set search_path = ''
as $$
declare
  outer_depth text := coalesce(current_setting('supaqueue.own_change_depth', true), '');
  failed_sources uuid[];
begin
  update supaqueue.dependent_job d
  set unfinished = d.unfinished + c.unfinished, failed = d.failed + c.failed
  from unnest(_targets, _unfinished, _failed) as c (target, unfinished, failed)
  cross join lateral (select l.ctid from supaqueue.dependent_job l where l.id = c.target offset 0) l
  where d.ctid = l.ctid and (c.unfinished <> 0 or c.failed <> 0);

  -- Locked in the order of ids, like jobs everywhere. Targets that become pending together are due
  -- in the order of their insertion.
  select array_agg(l.id), array_agg(l.old_status), array_agg(l.new_status), array_agg(l.failed_source)
  into jobs, old_statuses, new_statuses, failed_sources
  from (
    select
      j.id,
      j.status as old_status,
      c.failed_source,
      case
        when j.status = 'waiting' and c.failed > 0 then 'cancelled'
        when d.unfinished > 0 then 'waiting'
        else 'pending'
      end as new_status
    from (
      select t.*
      from unnest(_targets, _unfinished, _failed, _failed_sources, _requeued) as t (target, unfinished, failed, failed_source, is_requeued)
      order by t.target
    ) c
    cross join lateral (select e.* from supaqueue.dependent_job e where e.id = c.target offset 0) d
    cross join lateral (
      select t.id, t.position, t.status
      from supaqueue.job t
      where t.id = c.target and (
        t.status = 'waiting' and (c.failed > 0 or d.unfinished = 0)
        or t.status = 'cancelled' and d.is_cancelled_for_source and d.failed = 0 and c.failed < 0
        or t.status = 'pending' and t.attempts = 0 and d.unfinished > 0
          and (c.unfinished > 0 or c.is_requeued)
      )
      for no key update
    ) j
    order by j.position
  ) l;
  if jobs is null then
    return;
  end if;

  -- The caller propagates these changes, not the trigger on job.
  perform set_config('supaqueue.own_change_depth', pg_trigger_depth()::text, true);
  with changed as (
    update supaqueue.job j
    set
      status = v.new_status,
      errors = case
        when v.new_status <> 'cancelled' then j.errors
        else supaqueue.last_entries(
          j.errors || jsonb_build_object(
            'attempt', j.attempts,
            'at', clock_timestamp(),
            'message', format(
              'cancelled: it waited for job %s, which %s', v.failed_source,
              coalesce((select case s.status when 'failed' then 'failed' else 'was ' || s.status end
                from supaqueue.job s where s.id = v.failed_source), 'was deleted'))),
          (select s.max_errors from supaqueue.setting s))
      end
    from unnest(jobs, old_statuses, new_statuses, failed_sources) as v (job, old_status, new_status, failed_source)
    cross join lateral (select l.ctid from supaqueue.job l where l.id = v.job offset 0) l
    where j.ctid = l.ctid
    returning j.id, v.old_status, j.status as new_status
  )
  select array_agg(c.id), array_agg(c.old_status), array_agg(c.new_status)
  into jobs, old_statuses, new_statuses
  from changed c;
  perform set_config('supaqueue.own_change_depth', outer_depth, true);

  if 'cancelled' = any (old_statuses || new_statuses) then
    update supaqueue.dependent_job d
    set is_cancelled_for_source = (c.new_status = 'cancelled')
    from unnest(jobs, new_statuses) as c (job, new_status)
    cross join lateral (select l.ctid from supaqueue.dependent_job l where l.id = c.job offset 0) l
    where d.ctid = l.ctid and d.is_cancelled_for_source <> (c.new_status = 'cancelled');
  end if;
end
$$;

--- schema/23_propagate.sql

-- Propagates changes of jobs to their targets, level by level: a target whose last source
-- succeeded becomes pending, the targets of a failed source are cancelled, and so on. Does
-- nothing if the jobs have no targets.
create or replace function supaqueue.propagate(jobs uuid[], old_statuses text[], new_statuses text[], requeued uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  targets uuid[];
  unfinished integer[];
  failed integer[];
  failed_sources uuid[];
  are_requeued boolean[];
begin
  loop
    select array_agg(d.target), array_agg(d.unfinished), array_agg(d.failed), array_agg(d.failed_source),
      array_agg(d.is_requeued)
    into targets, unfinished, failed, failed_sources, are_requeued
    from (
      select
        e.target,
        sum(n.unfinished - o.unfinished)::integer as unfinished,
        sum(n.failed - o.failed)::integer as failed,
        (array_agg(e.source) filter (where n.failed > o.failed))[1] as failed_source,
        false as is_requeued
      from unnest(jobs, old_statuses, new_statuses) as c (job, old_status, new_status)
      cross join lateral (
        select d.source, d.target, d.on_failure from supaqueue.job_dependencies d where d.source = c.job offset 0
      ) e
      join supaqueue.dependency_effect o on o.status = c.old_status and o.on_failure = e.on_failure
      join supaqueue.dependency_effect n on n.status = c.new_status and n.on_failure = e.on_failure
      where n.unfinished <> o.unfinished or n.failed <> o.failed
      group by e.target
      union all
      select r.job, 0, 0, null, true
      from unnest(requeued) as r (job)
    ) d;
    exit when targets is null;

    select d.jobs, d.old_statuses, d.new_statuses into jobs, old_statuses, new_statuses
    from supaqueue.update_targets(targets, unfinished, failed, failed_sources, are_requeued) d;
    requeued := '{}';
  end loop;
end
$$;

--- schema/24_refuse_unknown_jobs.sql

-- Fails if a dependency that this transaction added, and did not delete again, names a job that
-- does not exist.
create or replace function supaqueue.refuse_unknown_jobs()
returns void
language plpgsql
set search_path = ''
as $$
declare
  added record;
begin
  select e.source, e.target, unknown.id as unknown into added
  from supaqueue.dependency_change c
  cross join lateral (
    select d.source, d.target from supaqueue.job_dependencies d where d.source = c.source and d.target = c.target offset 0
  ) e
  cross join lateral (values (c.source), (c.target)) as unknown (id)
  where c.xact = pg_current_xact_id() and c.is_added
    and not exists (select from supaqueue.job j where j.id = unknown.id offset 0)
  limit 1;
  if found then
    raise exception 'cannot make job % wait for job %: there is no job %', added.target, added.source, added.unknown
      using errcode = 'foreign_key_violation',
        hint = 'Insert the job in the same transaction as the dependency, or before it.';
  end if;
end
$$;

--- schema/25_refuse_started_targets.sql

-- Fails if a dependency that this transaction added, and did not delete again, has a target that
-- has started. A job that is pending for a retry has started, too.
create or replace function supaqueue.refuse_started_targets(_targets uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  added record;
  started uuid[] := array(
    select t.id
    from unnest(_targets) as t (id)
    cross join lateral (select o.status, o.attempts from supaqueue.job o where o.id = t.id offset 0) j
    where j.status not in ('pending', 'waiting') or j.status = 'pending' and j.attempts > 0
  );
begin
  if started = '{}' then
    return;
  end if;
  select e.source, e.target, j.status into added
  from supaqueue.dependency_change c
  cross join lateral (
    select d.source, d.target from supaqueue.job_dependencies d where d.source = c.source and d.target = c.target offset 0
  ) e
  cross join lateral (select o.status from supaqueue.job o where o.id = c.target offset 0) j
  -- "is true" and "not in" keep the subqueries hashed instead of turned into joins.
  where c.xact = pg_current_xact_id() and c.is_added and (c.target in (select unnest(started))) is true
    -- A changed on_failure is not a new dependency.
    and (c.source, c.target) not in (
      select before.source, before.target
      from supaqueue.dependency_change before
      where before.xact = pg_current_xact_id() and not before.is_added
    )
  limit 1;
  if found then
    raise exception 'cannot make job % wait for job %: it has started or ended already (%)',
      added.target, added.source, added.status
      using errcode = 'object_not_in_prerequisite_state',
        hint = 'Only a job that has not started yet can be made to wait. Insert a new job, or retry this one first.';
  end if;
end
$$;

--- schema/26_wait_for_job_lock.sql

-- Waits until no other transaction holds a lock of a job, and keeps no lock itself. A locking query
-- would keep the lock even of a row that changed while it waited and does not match any more; only
-- rolling back a subtransaction releases it.
create or replace function supaqueue.wait_for_job_lock(_job uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform from supaqueue.job j where j.id = _job for share;
  raise exception 'release the lock' using errcode = 'SQ001';
exception
  when sqlstate 'SQ001' then null;
end
$$;

--- schema/27_hold_targets.sql

-- Sets those targets to waiting that are pending and have not started.
--
-- Another transaction may hold a target, to start it or to make it wait for another source. We wait
-- for that transaction without keeping a lock: a report on which we block later, at our commit, may
-- need the target.
create or replace function supaqueue.hold_targets(_targets uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  pending uuid[];
  locked uuid[];
begin
  loop
    begin
      -- The status is filtered outside: inside, Postgres might scan all pending jobs.
      pending := array(
        select t.id
        from (
          select j.id, j.status, j.attempts from supaqueue.job j where j.id = any (_targets) offset 0
        ) t
        where t.status = 'pending' and t.attempts = 0
      );
      locked := array(
        select l.id
        from (
          select j.id, j.status, j.attempts from supaqueue.job j
          where j.id = any (pending) offset 0
          for no key update skip locked
        ) l
        where l.status = 'pending' and l.attempts = 0
      );
      exit when cardinality(locked) = cardinality(pending);
      raise exception 'release the locks' using errcode = 'SQ001';
    exception
      when sqlstate 'SQ001' then null;
    end;

    perform supaqueue.wait_for_job_lock(m.id)
    from (select unnest(pending) except select unnest(locked) limit 1) as m (id);
  end loop;

  update supaqueue.job j set status = 'waiting' where j.id = any (locked);
end
$$;

--- schema/28_try_lock_jobs.sql

-- Locks jobs against a change of their status, without waiting. Returns null if all are locked, else
-- a job that another transaction holds (or any of them, if that is not known).
--
-- The lock timeout is there because even "skip locked" can block, see the core's due_jobs.
create or replace function supaqueue.try_lock_jobs(jobs uuid[])
returns uuid
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  me xid8 := pg_current_xact_id();
  locked uuid[];
begin
  -- A job that this transaction wrote is locked already.
  locked := array(
    select l.id
    from (select distinct unnest(jobs) as id order by id) c
    cross join lateral (
      select j.id from supaqueue.job j where j.id = c.id and j.xmin <> me::xid for share skip locked
    ) l
  );
  return (
    select h.id
    from (
      select j.id from supaqueue.job j where j.id = any (jobs) and j.xmin <> me::xid
      except
      select unnest(locked)
    ) h
    limit 1
  );
exception
  when lock_not_available then
    return jobs[1];
end
$$;

--- schema/29_lock_for_counting.sql

-- Locks what counting the dependencies needs: the counts, and the jobs, whose status then stays
-- the same until the commit. It waits for a source that is just finishing, and sees the result.
--
-- The locks are taken in the order of a report: first jobs that have started, then counts, then
-- waiting jobs. A job that stops waiting in between may have started by then, and its report may
-- block on the counts. So the last step never waits with the counts locked: instead, all locks are
-- released, and taken again once the transaction that holds the job has ended.
create or replace function supaqueue.lock_for_counting(sources uuid[], targets uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  me xid8 := pg_current_xact_id();
  waiting_sources uuid[];
  reached uuid[];
  held uuid;
begin
  loop
    begin
      -- Targets, too: a started one is refused later, but its report may be in progress now.
      perform
      from (select distinct unnest(sources || targets) as id order by id) c
      cross join lateral (
        select from supaqueue.job j where j.id = c.id and j.status <> 'waiting' and j.xmin <> me::xid for share
      ) j;

      -- "do update" would lock existing rows before others with lower ids.
      insert into supaqueue.dependent_job (id, position)
      select j.id, j.position
      from (select distinct unnest(targets) as id order by id) c
      cross join lateral (select t.id, t.position from supaqueue.job t where t.id = c.id offset 0) j
      on conflict (id) do nothing;
      waiting_sources := array(
        select s.id
        -- Without "offset 0" the index of all waiting jobs may be scanned instead.
        from (select j.id, j.status from supaqueue.job j where j.id = any (sources) offset 0) s
        where s.status = 'waiting'
      );
      reached := '{}';
      if exists (select from supaqueue.job j where j.id = any (sources) and j.status in ('failed', 'cancelled')) then
        reached := supaqueue.targets_of_failure(targets);
      end if;
      perform supaqueue.lock_dependents(targets || waiting_sources || reached, '{}', false);

      held := supaqueue.try_lock_jobs(sources || targets);
      exit when held is null;
      raise exception 'release the locks' using errcode = 'SQ001';
    exception
      when sqlstate 'SQ001' then null;
    end;
    perform supaqueue.wait_for_job_lock(held);
  end loop;
end
$$;

--- schema/30_count_dependencies.sql

-- Counts the changes to dependencies that this transaction made: checks those it added, and
-- updates the statuses of the targets. Runs at the commit (is_final), and before that whenever
-- the transaction changes the status of jobs with dependencies (_jobs, which had _old_statuses).
create or replace function supaqueue.count_dependencies(
  is_final boolean, _jobs uuid[] default '{}', _old_statuses text[] default '{}'
)
returns void
language plpgsql
set search_path = ''
as $$
declare
  me xid8 := pg_current_xact_id();
  all_sources uuid[];
  all_targets uuid[];
  old_status_of jsonb := jsonb_object(_jobs::text[], _old_statuses);
  change record;
begin
  select array_agg(distinct c.source), array_agg(distinct c.target)
  into all_sources, all_targets
  from supaqueue.dependency_change c
  where c.xact = me;
  if all_sources is null then
    return;
  end if;

  perform supaqueue.lock_for_counting(all_sources, all_targets);

  -- Resets rows that deleted jobs with the same ids left behind.
  update supaqueue.dependent_job d
  set position = j.position, unfinished = 0, failed = 0, is_cancelled_for_source = false
  from unnest(all_targets) as c (target)
  cross join lateral (select t.position from supaqueue.job t where t.id = c.target offset 0) j
  cross join lateral (select l.ctid from supaqueue.dependent_job l where l.id = c.target offset 0) l
  where d.ctid = l.ctid and d.position <> j.position;

  perform supaqueue.refuse_unknown_jobs() where is_final;
  perform supaqueue.refuse_started_targets(all_targets);
  if exists (select from supaqueue.dependency_change c where c.xact = me and c.is_added) then
    if exists (
      select from supaqueue.dependency_change c
      cross join lateral (select t.xmin from supaqueue.job t where t.id = c.source offset 0) j
      where c.xact = me and c.is_added and j.xmin <> me::xid
    ) then
      -- Two transactions can only close a cycle together through a job that existed before.
      update supaqueue.dependency_turn t set number = t.number + 1 where t.is_only_row;
    end if;
    perform supaqueue.refuse_cycle();
  end if;

  with counted as (
    -- At the commit, a change whose jobs are missing was either undone, or its source was
    -- deleted, which counts as cancelled. Before that, the jobs may still be inserted.
    delete from supaqueue.dependency_change c
    where c.xact = me
      and (
        is_final
        or exists (select from supaqueue.job j where j.id = c.target offset 0)
          and (old_status_of ? c.source::text or exists (select from supaqueue.job j where j.id = c.source offset 0))
      )
    returning c.source, c.target, c.on_failure, case when c.is_added then 1 else -1 end as sign
  ),
  difference as (
    select
      c.target,
      sum(c.sign * e.unfinished)::integer as unfinished,
      sum(c.sign * e.failed)::integer as failed,
      (array_agg(c.source) filter (where c.sign * e.failed > 0))[1] as failed_source
    from counted c
    left join lateral (select t.status from supaqueue.job t where t.id = c.source offset 0) j on true
    join supaqueue.dependency_effect e
      on e.status = coalesce(old_status_of ->> c.source::text, j.status, 'cancelled') and e.on_failure = c.on_failure
    group by c.target
  )
  select array_agg(d.target) as targets, array_agg(d.unfinished) as unfinished,
    array_agg(d.failed) as failed, array_agg(d.failed_source) as failed_sources
  into change
  from difference d;
  if change.targets is not null then
    perform supaqueue.propagate(d.jobs, d.old_statuses, d.new_statuses, '{}')
    from supaqueue.update_targets(change.targets, change.unfinished, change.failed, change.failed_sources, null) d;
  end if;
end
$$;

--- schema/31_begin_dependency_changes.sql

-- Returns true for the first change to dependencies since the last counting: the caller must record
-- it so that its trigger counts all changes at the commit.
--
-- Queues that the transaction has woken before are taken from the core's list and dispatched after
-- the counting: a dispatch holds the locks of queues, and a report on which the counting blocks may
-- need them.
create or replace function supaqueue.begin_dependency_changes()
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  woken record;
begin
  if current_setting('supaqueue.has_dependency_changes', true) = 'on' then
    return false;
  end if;
  perform set_config('supaqueue.has_dependency_changes', 'on', true);
  woken := supaqueue.take_wake_ups();
  perform set_config('supaqueue.queues_after_dependencies', woken.queues::text, true);
  perform set_config('supaqueue.usable_workers_after_dependencies', woken.has_usable_workers::text, true);
  return true;
end
$$;

--- schema/32_dependency_change_trigger.sql

-- Counts the transaction's changes to dependencies at its commit, then dispatches.
create or replace function supaqueue.count_dependencies_tg_fn()
returns trigger
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
  queues_before uuid[] := current_setting('supaqueue.queues_after_dependencies')::uuid[];
  had_usable_workers boolean := current_setting('supaqueue.usable_workers_after_dependencies')::boolean;
begin
  perform set_config('supaqueue.has_dependency_changes', '', true);
  perform set_config('supaqueue.has_early_dependencies', '', true);
  perform supaqueue.count_dependencies(true);
  perform supaqueue.dispatch(queues_before || w.queues, had_usable_workers or w.has_usable_workers)
  from supaqueue.take_wake_ups() w;
  return null;
end
$$;

drop trigger if exists count_dependencies_tg on supaqueue.dependency_change;
create constraint trigger count_dependencies_tg
after insert on supaqueue.dependency_change
deferrable initially deferred
for each row when (new.is_first)
execute function supaqueue.count_dependencies_tg_fn();

--- schema/33_job_dependencies_triggers.sql

-- When dependencies are inserted, updated or deleted, the changes are recorded, and counted at the
-- commit (count_dependencies).

-- A target must not start before the counting, so it is set to waiting now. If another transaction
-- is starting it, this waits for that transaction and then fails.
create or replace function supaqueue.record_added_dependencies_tg_fn()
returns trigger
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
  is_first boolean;
  targets uuid[] := (select array_agg(distinct a.target) from added a);
begin
  if targets is null then
    return null;
  end if;
  is_first := supaqueue.begin_dependency_changes();
  insert into supaqueue.dependency_change (source, target, on_failure, is_added, is_first)
  select a.source, a.target, a.on_failure, true, is_first and row_number() over () = 1 from added a;

  perform supaqueue.hold_targets(targets);
  perform supaqueue.refuse_started_targets(targets);

  if exists (
    select from unnest(targets) as t (id)
    where not exists (select from supaqueue.job j where j.id = t.id offset 0)
  ) then
    perform set_config('supaqueue.has_early_dependencies', 'on', true);
  end if;
  return null;
end
$$;

create or replace trigger record_added_dependencies_tg
after insert on supaqueue.job_dependencies
referencing new table as added
for each statement
execute function supaqueue.record_added_dependencies_tg_fn();

create or replace function supaqueue.record_updated_dependencies_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if exists (select o.source, o.target from old_rows o except select n.source, n.target from new_rows n) then
    raise exception 'cannot change the source or target of a dependency'
      using errcode = 'feature_not_supported', hint = 'Delete the dependency and insert another.';
  end if;
  if exists (
    select n.source, n.target, n.on_failure from new_rows n
    except select o.source, o.target, o.on_failure from old_rows o
  ) then
    insert into supaqueue.dependency_change (source, target, on_failure, is_added, is_first)
    select c.source, c.target, c.on_failure, c.is_added, f.is_first and row_number() over () = 1
    from (select supaqueue.begin_dependency_changes()) as f (is_first)
    cross join (
      select o.source, o.target, o.on_failure, false as is_added from old_rows o
      union all
      select n.source, n.target, n.on_failure, true from new_rows n
    ) c;
  end if;
  return null;
end
$$;

create or replace trigger record_updated_dependencies_tg
after update on supaqueue.job_dependencies
referencing old table as old_rows new table as new_rows
for each statement
execute function supaqueue.record_updated_dependencies_tg_fn();

create or replace function supaqueue.record_deleted_dependencies_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if exists (select from deleted) then
    insert into supaqueue.dependency_change (source, target, on_failure, is_added, is_first)
    select d.source, d.target, d.on_failure, false, f.is_first and row_number() over () = 1
    from (select supaqueue.begin_dependency_changes()) as f (is_first)
    cross join deleted d;
  end if;
  return null;
end
$$;

-- Does not fire when the add-on itself deletes the dependencies of deleted jobs.
create or replace trigger record_deleted_dependencies_tg
after delete on supaqueue.job_dependencies
referencing old table as deleted
for each statement
when (current_setting('supaqueue.own_change_depth', true) is distinct from pg_trigger_depth()::text)
execute function supaqueue.record_deleted_dependencies_tg_fn();

create or replace function supaqueue.refuse_truncate_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  raise exception 'cannot truncate supaqueue.job_dependencies: waiting jobs would never start'
    using errcode = 'feature_not_supported', hint = 'Use delete instead: it releases the jobs that have nothing left to wait for.';
end
$$;

create or replace trigger refuse_truncate_tg
before truncate on supaqueue.job_dependencies
for each statement
execute function supaqueue.refuse_truncate_tg_fn();

--- schema/40_after_update_job.sql

-- Propagates changes of jobs within the statement that made them: in a report, that is before the
-- search for the worker's next job.
create or replace function supaqueue.propagate_updated_jobs_tg_fn()
returns trigger
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
  has_changes boolean := coalesce(current_setting('supaqueue.has_dependency_changes', true), '') = 'on';
  jobs uuid[];
  old_statuses text[];
  new_statuses text[];
  requeued uuid[];
begin
  -- Only changes that matter to targets: whether the job is unfinished, whether it is successful.
  select array_agg(c.id), array_agg(c.old_status), array_agg(c.new_status)
  into jobs, old_statuses, new_statuses
  from (
    select r.id, max(r.old_status) as old_status, max(r.new_status) as new_status
    from (
      select o.id, o.status as old_status, null as new_status from old_jobs o
      union all
      select n.id, null, n.status from new_jobs n
    ) r
    group by r.id
  ) c
  where c.old_status <> c.new_status
    and (c.old_status in ('pending', 'waiting', 'in_progress'), c.old_status = 'successful')
      <> (c.new_status in ('pending', 'waiting', 'in_progress'), c.new_status = 'successful')
    and (
      exists (select from supaqueue.job_dependencies e where e.source = c.id order by e.target offset 0)
      or exists (select from supaqueue.dependent_job d where d.id = c.id offset 0)
      or has_changes and exists (
        select from supaqueue.dependency_change d
        where d.xact = pg_current_xact_id() and d.source = c.id offset 0
      )
    );
  if jobs is null then
    return null;
  end if;

  if has_changes then
    perform supaqueue.count_dependencies(false, jobs, old_statuses);
  end if;
  requeued := array(
    select c.job from unnest(jobs, old_statuses, new_statuses) as c (job, old_status, new_status)
    where c.old_status in ('successful', 'failed', 'cancelled') and c.new_status in ('pending', 'waiting')
  );
  perform supaqueue.lock_dependents(
    requeued, jobs, array['failed', 'cancelled'] && (old_statuses || new_statuses));
  update supaqueue.dependent_job d
  set is_cancelled_for_source = false
  where d.id = any (requeued) and d.is_cancelled_for_source;
  perform supaqueue.propagate(jobs, old_statuses, new_statuses, requeued);
  return null;
end
$$;

create or replace trigger propagate_updated_jobs_tg
after update on supaqueue.job
referencing old table as old_jobs new table as new_jobs
for each statement
when (current_setting('supaqueue.own_change_depth', true) is distinct from pg_trigger_depth()::text)
execute function supaqueue.propagate_updated_jobs_tg_fn();

--- schema/41_after_insert_job.sql

-- Sets jobs to waiting that are inserted after a dependency of which they are the target.
create or replace function supaqueue.hold_inserted_jobs_tg_fn()
returns trigger
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
  update supaqueue.job j
  set status = 'waiting'
  where j.id = any (array(
    select i.id from inserted i
    where i.status = 'pending' and exists (select from supaqueue.job_dependencies e where e.target = i.id offset 0)
  ));
  return null;
end
$$;

create or replace trigger hold_inserted_jobs_tg
after insert on supaqueue.job
referencing new table as inserted
for each statement
when (current_setting('supaqueue.has_early_dependencies', true) = 'on')
execute function supaqueue.hold_inserted_jobs_tg_fn();

--- schema/42_after_delete_job.sql

-- A source that is deleted before it finished counts as cancelled; one that had finished keeps its
-- effect. A dependency on a deleted source is kept if it still blocks its target, else deleted.
create or replace function supaqueue.propagate_deleted_jobs_tg_fn()
returns trigger
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
  has_changes boolean := coalesce(current_setting('supaqueue.has_dependency_changes', true), '') = 'on';
  outer_depth text := coalesce(current_setting('supaqueue.own_change_depth', true), '');
  jobs uuid[];
  old_statuses text[];
  new_statuses text[];
begin
  select
    array_agg(d.id),
    array_agg(d.status),
    array_agg(case when d.status in ('successful', 'failed') then d.status else 'cancelled' end)
  into jobs, old_statuses, new_statuses
  from deleted d
  where exists (select from supaqueue.job_dependencies e where e.source = d.id order by e.target offset 0)
    or exists (select from supaqueue.job_dependencies e where e.target = d.id order by e.source offset 0)
    or exists (select from supaqueue.dependent_job t where t.id = d.id offset 0)
    or has_changes and exists (
      select from supaqueue.dependency_change c
      where c.xact = pg_current_xact_id() and c.source = d.id offset 0
    );
  if jobs is null then
    return null;
  end if;

  if has_changes then
    perform supaqueue.count_dependencies(false, jobs, old_statuses);
    -- "is true" keeps the subquery hashed, so that each target is looked up once. With "= any",
    -- each one would be compared with all jobs.
    delete from supaqueue.dependency_change c
    where c.xact = pg_current_xact_id() and (c.target in (select unnest(jobs))) is true;
  end if;
  -- Dependencies of which the jobs are the target go first: their counts must not be locked below.
  perform set_config('supaqueue.own_change_depth', pg_trigger_depth()::text, true);
  delete from supaqueue.job_dependencies e where e.target = any (jobs);
  perform set_config('supaqueue.own_change_depth', outer_depth, true);

  perform supaqueue.lock_dependents('{}', jobs, array['failed', 'cancelled'] && new_statuses);
  perform supaqueue.propagate(jobs, old_statuses, new_statuses, '{}');

  perform set_config('supaqueue.own_change_depth', pg_trigger_depth()::text, true);
  delete from supaqueue.job_dependencies e
  using unnest(jobs, new_statuses) as c (job, status)
  cross join lateral (
    select d.ctid, d.on_failure from supaqueue.job_dependencies d where d.source = c.job offset 0
  ) d
  join supaqueue.dependency_effect f on f.status = c.status and f.on_failure = d.on_failure
  where e.ctid = d.ctid and f.unfinished = 0 and f.failed = 0;
  perform set_config('supaqueue.own_change_depth', outer_depth, true);

  -- Skips counts locked by a transaction that may be waiting for the job. A row left behind is
  -- recognised by its position.
  delete from supaqueue.dependent_job d
  where d.id = any (array(
    select t.id from supaqueue.dependent_job t where t.id = any (jobs) for update skip locked
  ));
  return null;
end
$$;

create or replace trigger propagate_deleted_jobs_tg
after delete on supaqueue.job
referencing old table as deleted
for each statement
execute function supaqueue.propagate_deleted_jobs_tg_fn();

--- schema/43_before_delete_job.sql

-- Makes retention keep a source until all its targets have finished.
create or replace function supaqueue.keep_source_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if exists (
    select from supaqueue.job_dependencies e
    cross join lateral (select t.status from supaqueue.job t where t.id = e.target offset 0) j
    where e.source = old.id and j.status in ('pending', 'waiting', 'in_progress')
  ) then
    return null;
  end if;
  return old;
end
$$;

create or replace trigger keep_source_tg
before delete on supaqueue.job
for each row when (current_setting('supaqueue.is_retention', true) = 'on')
execute function supaqueue.keep_source_tg_fn();

--- schema/44_after_truncate_job.sql

-- Truncating the jobs deletes all dependencies.
create or replace function supaqueue.propagate_truncated_jobs_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform set_config('supaqueue.own_change_depth', pg_trigger_depth()::text, true);
  delete from supaqueue.job_dependencies e where true;
  delete from supaqueue.dependent_job d where true;
  perform set_config('supaqueue.own_change_depth', '', true);
  return null;
end
$$;

create or replace trigger propagate_truncated_jobs_tg
after truncate on supaqueue.job
for each statement
execute function supaqueue.propagate_truncated_jobs_tg_fn();

--- schema/45_before_update_job.sql

-- Adds the results of its sources to a job that is released, for dependencies with pass_result: its
-- payload gets the key "sources", a list with one entry per source, in the order in which the
-- sources were inserted:
--   {"job": id, "queue": name, "status": text, "result": JSON or null}
--
-- If the payload cannot hold them, the job is cancelled with the reason. An error would instead
-- make the report fail that releases the job.
create or replace function supaqueue.add_results_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  sources jsonb;
  payload jsonb;
  problem text;
begin
  select jsonb_agg(
    jsonb_build_object('job', s.id, 'queue', q.name, 'status', s.status, 'result', s.result)
    order by s.position)
  into sources
  from supaqueue.job_dependencies e
  cross join lateral (select t.* from supaqueue.job t where t.id = e.source offset 0) s
  join supaqueue.queue q on q.id = s.queue
  where e.target = new.id and e.pass_result;
  if sources is null then
    return new;
  end if;

  if jsonb_typeof(new.payload) <> 'object' then
    problem := 'its payload is not an object';
  else
    payload := new.payload || jsonb_build_object('sources', sources);
    if octet_length(payload::text) > 5000000 then
      problem := 'its payload would exceed 5 MB';
    end if;
  end if;
  if problem is null then
    new.payload := payload;
    return new;
  end if;

  new.status := 'cancelled';
  new.errors := supaqueue.last_entries(
    new.errors || jsonb_build_object(
      'attempt', new.attempts,
      'at', clock_timestamp(),
      'message', 'cancelled: cannot add the results of its sources: ' || problem),
    (select s.max_errors from supaqueue.setting s));
  return new;
end
$$;

-- Triggers fire in the order of their names: this one before the core's before_update_job_tg, which
-- must see the status set here.
create or replace trigger add_results_tg
before update on supaqueue.job
for each row when (new.status = 'pending' and old.status not in ('pending', 'in_progress'))
execute function supaqueue.add_results_tg_fn();

--- schema/50_enqueue.sql

-- The core's enqueue, for a job that waits for others.
--
-- queue_name is a varchar so that calls without depends_on are not ambiguous: Postgres prefers the
-- core's function, whose parameter is a text.
create or replace function supaqueue.enqueue(
  queue_name varchar,
  payload jsonb default '{}',
  priority integer default 0,
  run_at timestamptz default now(),
  headers jsonb default null,
  max_attempts integer default null,
  timeout_ms integer default null,
  depends_on uuid[] default '{}',
  on_failure text default 'fail',
  pass_results boolean default false
)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  new_job uuid;
begin
  insert into supaqueue.job (queue, payload, status, priority, run_at, headers, max_attempts, timeout_ms)
  values (
    supaqueue.queue_id(queue_name), payload, case when depends_on <> '{}' then 'waiting' else 'pending' end,
    priority, run_at, headers, max_attempts, timeout_ms)
  returning id into new_job;
  insert into supaqueue.job_dependencies (source, target, on_failure, pass_result)
  select distinct d.source, new_job, enqueue.on_failure, enqueue.pass_results
  from unnest(depends_on) as d (source);
  return new_job;
end
$$;
comment on function supaqueue.enqueue(varchar, jsonb, integer, timestamptz, jsonb, integer, integer, uuid[], text, boolean) is
  'Enqueues a job that waits for others (depends_on); returns its id';

--- schema/51_pipeline_jobs.sql

-- Validates the document of a pipeline; returns its jobs in order.
create or replace function supaqueue.pipeline_jobs(pipeline jsonb)
returns table (number bigint, name text, job jsonb)
language plpgsql
stable
set search_path = ''
as $$
declare
  entry record;
  unknown text;
begin
  if jsonb_typeof(pipeline) is distinct from 'array' then
    raise exception 'cannot enqueue the pipeline: it is not a list of jobs'
      using errcode = 'invalid_parameter_value',
        hint = 'An example: [{"name": "a", "queue": "q"}, {"name": "b", "queue": "q", "depends_on": ["a"]}].';
  end if;

  for entry in
    select j.ordinality as number, j.value as job, j.value ->> 'name' as name
    from jsonb_array_elements(pipeline) with ordinality as j
  loop
    if jsonb_typeof(entry.job) <> 'object' or jsonb_typeof(entry.job -> 'name') is distinct from 'string'
      or jsonb_typeof(entry.job -> 'queue') is distinct from 'string'
    then
      raise exception 'cannot enqueue the pipeline: job % needs a "name" and a "queue", both strings', entry.number
        using errcode = 'invalid_parameter_value';
    end if;
    unknown := (
      select k.key from jsonb_object_keys(entry.job) as k (key)
      where k.key not in (
        'name', 'queue', 'payload', 'priority', 'run_at', 'headers', 'max_attempts', 'timeout_ms',
        'depends_on', 'required_by', 'on_failure', 'pass_results')
      limit 1
    );
    if unknown is not null then
      raise exception 'cannot enqueue the pipeline: job % has an unknown key %', quote_literal(entry.name), quote_literal(unknown)
        using errcode = 'invalid_parameter_value',
          hint = 'Valid keys are name, queue, payload, priority, run_at, headers, max_attempts, timeout_ms, depends_on, required_by, on_failure and pass_results.';
    end if;
    if jsonb_typeof(coalesce(entry.job -> 'depends_on', '[]')) <> 'array'
      or jsonb_typeof(coalesce(entry.job -> 'required_by', '[]')) <> 'array'
    then
      raise exception 'cannot enqueue the pipeline: depends_on and required_by of job % must be lists', quote_literal(entry.name)
        using errcode = 'invalid_parameter_value';
    end if;
  end loop;

  return query
    select j.ordinality, j.value ->> 'name', j.value
    from jsonb_array_elements(pipeline) with ordinality as j;
end
$$;

--- schema/52_enqueue_pipeline.sql

-- Inserts the jobs of a document and their dependencies; returns the ids by name.
--
-- The document is a list of {"name", "queue", "payload", "depends_on", …}. depends_on lists names
-- of other jobs in the document or ids of existing jobs; required_by lists ids of existing jobs
-- that must also wait for this one. on_failure and pass_results apply to all dependencies in both.
create or replace function supaqueue.enqueue_pipeline(pipeline jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  names text[];
  documents jsonb[];
  ids uuid[];
  by_name jsonb;
  problem record;
  members text[];
begin
  select array_agg(j.name order by j.number), array_agg(j.job order by j.number),
    array_agg(supaqueue.new_id() order by j.number), jsonb_object_agg(j.name, j.number)
  into names, documents, ids, by_name
  from supaqueue.pipeline_jobs(pipeline) j;
  if names is null then
    return '{}';
  end if;
  by_name := (select jsonb_object_agg(j.name, j.id) from unnest(names, ids) as j (name, id));
  if cardinality(names) > (select count(*) from jsonb_object_keys(by_name)) then
    raise exception 'cannot enqueue the pipeline: two of its jobs are named %', (
        select quote_literal(j.name) from unnest(names) as j (name) group by j.name having count(*) > 1 limit 1)
      using errcode = 'unique_violation';
  end if;

  select j.name, d.other into problem
  from unnest(names, documents) as j (name, document)
  cross join lateral (
    select x.other from jsonb_array_elements_text(j.document -> 'depends_on') as x (other)
    where (by_name ? x.other) is not true and supaqueue.uuid_or_null(x.other) is null
    union all
    select x.other from jsonb_array_elements_text(j.document -> 'required_by') as x (other)
    where supaqueue.uuid_or_null(x.other) is null
  ) d
  limit 1;
  if found then
    raise exception 'cannot enqueue the pipeline: job % refers to %, which is neither one of its jobs nor an id',
      quote_literal(problem.name), coalesce(quote_literal(problem.other), 'null')
      using errcode = 'invalid_parameter_value',
        hint = 'depends_on takes names of jobs in the document and ids of existing jobs, required_by only ids.';
  end if;

  select supaqueue.find_cycle(array_agg(d.other), array_agg(j.name)) into members
  from unnest(names, documents) as j (name, document)
  cross join lateral jsonb_array_elements_text(j.document -> 'depends_on') as d (other);
  if members is not null then
    raise exception 'cannot enqueue the pipeline: its jobs would wait for each other: %',
      array_to_string(members[1:20], ' → ') || case when cardinality(members) > 20 then ' → …' else '' end
        || ' → ' || members[1]
      using errcode = 'check_violation';
  end if;

  insert into supaqueue.job (id, queue, payload, status, priority, run_at, headers, max_attempts, timeout_ms)
  select
    j.id,
    q.id,
    coalesce(j.document -> 'payload', '{}'),
    case when jsonb_array_length(coalesce(j.document -> 'depends_on', '[]')) > 0 then 'waiting' else 'pending' end,
    coalesce((j.document ->> 'priority')::integer, 0),
    coalesce((j.document ->> 'run_at')::timestamptz, now()),
    nullif(j.document -> 'headers', 'null'),
    (j.document ->> 'max_attempts')::integer,
    (j.document ->> 'timeout_ms')::integer
  from unnest(ids, documents) with ordinality as j (id, document, number)
  join (
    select n.name, supaqueue.queue_id(n.name) as id
    from (select distinct d.document ->> 'queue' from unnest(documents) as d (document)) as n (name)
  ) q on q.name = j.document ->> 'queue'
  order by j.number;

  insert into supaqueue.job_dependencies (source, target, on_failure, pass_result)
  select distinct d.source, d.target,
    coalesce(j.document ->> 'on_failure', 'fail'),
    coalesce((j.document ->> 'pass_results')::boolean, false)
  from unnest(ids, documents) as j (id, document)
  cross join lateral (
    select coalesce((by_name ->> x.other)::uuid, supaqueue.uuid_or_null(x.other)) as source, j.id as target
    from jsonb_array_elements_text(j.document -> 'depends_on') as x (other)
    union all
    select j.id, x.other::uuid from jsonb_array_elements_text(j.document -> 'required_by') as x (other)
  ) d;
  return by_name;
end
$$;
comment on function supaqueue.enqueue_pipeline is 'Enqueues the jobs of a JSON document with their dependencies; returns the ids by name';

--- schema/60_pipeline.sql

-- Returns all jobs connected with a job by dependencies, in the order in which they were inserted. A
-- source that was deleted while one of its targets waited comes last, as 'deleted'.
create or replace function supaqueue.pipeline(job uuid)
returns table (
  id uuid, queue text, status text, attempts integer, sources uuid[], targets uuid[],
  waits_for integer, created_at timestamptz, started_at timestamptz, finished_at timestamptz
)
language sql
stable
set search_path = ''
as $$
  with recursive member (id) as (
    select pipeline.job
    union
    select neighbour.id
    from member m
    cross join lateral (
      select e.target from supaqueue.job_dependencies e where e.source = m.id
      union all
      select e.source from supaqueue.job_dependencies e where e.target = m.id
    ) as neighbour (id)
  )
  select
    m.id,
    q.name,
    coalesce(j.status, 'deleted'),
    j.attempts,
    array(select e.source from supaqueue.job_dependencies e where e.target = m.id order by e.source),
    array(select e.target from supaqueue.job_dependencies e where e.source = m.id order by e.target),
    coalesce(d.unfinished, 0),
    j.created_at,
    j.started_at,
    j.finished_at
  from member m
  left join supaqueue.job j on j.id = m.id
  left join supaqueue.queue q on q.id = j.queue
  left join supaqueue.dependent_job d on d.id = m.id
  where j.id is not null or m.id <> pipeline.job
  order by j.position nulls last, m.id
$$;
comment on function supaqueue.pipeline is 'All jobs connected with a job by dependencies, with their statuses';

--- schema/61_pipeline_mermaid.sql

-- Returns a pipeline as a Mermaid flowchart. More than max_siblings jobs of one queue with the same
-- sources and targets become one node with a count per status, so that a wide pipeline stays
-- readable.
create or replace function supaqueue.pipeline_mermaid(job uuid, max_siblings integer default 5)
returns text
language sql
stable
set search_path = ''
as $$
  with member as (
    select p.*, row_number() over () as number from supaqueue.pipeline(pipeline_mermaid.job) p
  ),
  grouped as (
    select m.*, count(*) over siblings as siblings, min(m.number) over siblings as first_number
    from member m
    window siblings as (partition by m.queue, m.sources, m.targets)
  ),
  placed as (
    select g.id, g.queue, g.status, case when g.siblings > max_siblings then g.first_number else g.number end as node
    from grouped g
  ),
  counted as (
    select p.node, p.status, max(p.queue) as queue, count(*) as jobs, (array_agg(p.id))[1] as id
    from placed p
    group by p.node, p.status
  ),
  node as (
    select
      c.node,
      case when sum(c.jobs) = 1
        then coalesce(max(c.queue), 'job') || ' ' || right((array_agg(c.id))[1]::text, 6)
        else max(c.queue) || ' × ' || sum(c.jobs)
      end as title,
      case when sum(c.jobs) = 1
        then max(c.status)
        else string_agg(c.jobs || ' ' || c.status, ', ' order by c.status)
      end as states,
      -- A group is coloured by the status that matters most.
      (array_agg(c.status order by array_position(
        array['failed', 'cancelled', 'deleted', 'in_progress', 'pending', 'waiting', 'successful'], c.status)))[1] as class
    from counted c
    group by c.node
  ),
  edge as (
    select distinct s.node as source, t.node as target, e.on_failure
    from placed t
    join supaqueue.job_dependencies e on e.target = t.id
    join placed s on s.id = e.source
  ),
  line (part, number, text) as (
    select 1, 0, 'flowchart LR'
    union all
    select 2, n.node, format('  n%s["%s<br/>%s"]:::%s', n.node, replace(n.title, '"', '#quot;'), n.states, n.class)
    from node n
    union all
    select 3, row_number() over (order by e.source, e.target, e.on_failure), format('  n%s -->%s n%s', e.source,
      case when e.on_failure = 'fail' then '' else '|' || e.on_failure || '|' end, e.target)
    from edge e
    union all
    select 4, s.ordinality, format('  classDef %s fill:%s', s.class, s.colour)
    from rows from (unnest(
      array['pending', 'waiting', 'in_progress', 'successful', 'failed', 'cancelled', 'deleted'],
      array['#fff', '#eee', '#fd8', '#8d8', '#f88', '#bbb', '#bbb'])) with ordinality as s (class, colour, ordinality)
  )
  select string_agg(l.text, e'\n' order by l.part, l.number) from line l
$$;
comment on function supaqueue.pipeline_mermaid is 'All jobs connected with a job by dependencies, as a Mermaid flowchart';

--- schema/90_privileges.sql

select supaqueue.protect_new_objects('{"job_dependencies": "insert, update, delete"}');

--- end

do $$
begin
  if current_setting('supaqueue.applying', true) is distinct from 'job_dependencies 1' then
    raise exception 'cannot record version 1 of job_dependencies: it was not applied in one transaction'
      using errcode = 'no_active_sql_transaction',
        hint = 'Remove what was made with sql/remove.sql, then apply the migration as a whole: psql -v ON_ERROR_STOP=1 -1 -f <file>.';
  end if;
  insert into supaqueue.version (part, number, name, finished_at) values ('job_dependencies', 1, '0001_job_dependencies', now());
end
$$;
