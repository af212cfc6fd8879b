-- Version 1 of job_dependencies, assembled by `cargo xtask sql build`. It can be applied to any database, at any time: where this
-- version or a newer one is installed, it does nothing.

do $supaqueue$
declare
  installed integer;
begin

-- Whoever comes second finds the version of the first.
perform pg_advisory_xact_lock(hashtextextended('supaqueue.version', 0));
if to_regclass('supaqueue.version') is not null then
  select max(v.number) into installed from supaqueue.version v where v.part = 'job_dependencies';
else
  raise exception 'cannot apply version 1 of job_dependencies: Supaqueue is not installed in this database'
    using errcode = 'object_not_in_prerequisite_state', hint = 'Apply the migrations of Supaqueue itself first.';
end if;
if installed >= 1 then
  raise notice 'version 1 of job_dependencies: nothing to do, this database has version %', installed;
  return;
elsif coalesce(installed, 0) <> 0 then
  raise exception 'cannot apply version 1 of job_dependencies: this database has %', coalesce('version ' || installed, 'none')
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

--- schema/tables/01_job_dependencies.sql

execute $migration$
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
$migration$;

--- schema/tables/02_dependent_job.sql

execute $migration$
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
$migration$;

--- schema/tables/03_dependency_change.sql

execute $migration$
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
$migration$;

--- schema/tables/04_dependency_turn.sql

execute $migration$
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
$migration$;

--- schema/05_dependency_effect.sql

execute $migration$
-- What one source contributes to the counts of a target.
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
$migration$;

--- schema/tables/05_propagation.sql

execute $migration$
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
$migration$;

--- schema/10_find_cycle.sql

execute $migration$
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
  names text[] := array(select distinct unnest(sources || targets));
  edge_sources integer[];
  leaving integer[];
  first_edge integer[] := '{1}';
  arriving integer[] := array_fill(0, array[cardinality(names)]);
  free_nodes integer[] := '{}';
  free_count integer := 0;
  head integer := 1;
  edge integer := 1;
  node integer;
  target integer;
  predecessor integer[];
  path integer[] := '{}';
begin
  select array_agg(s.number::integer order by s.number), array_agg(t.number::integer order by s.number)
  into edge_sources, leaving
  from unnest(sources, targets) as e (source, target)
  join unnest(names) with ordinality as s (name, number) on s.name = e.source
  join unnest(names) with ordinality as t (name, number) on t.name = e.target;
  for node in 1 .. cardinality(names) loop
    while edge_sources[edge] = node loop
      arriving[leaving[edge]] := arriving[leaving[edge]] + 1;
      edge := edge + 1;
    end loop;
    first_edge[node + 1] := edge;
  end loop;

  for node in 1 .. cardinality(names) loop
    if arriving[node] = 0 then
      free_count := free_count + 1;
      free_nodes[free_count] := node;
    end if;
  end loop;
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
  if free_count = cardinality(names) then
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
$migration$;

--- schema/11_reachable.sql

execute $migration$
-- Here and in all following files, the add-on reads its tables row by row through an index, whatever
-- the statistics were when a session planned the query (see the core's plan_settings). The planner may
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
$migration$;

--- schema/12_delete_edges.sql

execute $migration$
-- Deletes dependencies by their place, without counting them.
create or replace function supaqueue.delete_edges(_edges tid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  outer_depth text := coalesce(current_setting('supaqueue.own_change_depth', true), '');
begin
  perform set_config('supaqueue.own_change_depth', pg_trigger_depth()::text, true);
  delete from supaqueue.job_dependencies e where e.ctid = any (_edges);
  perform set_config('supaqueue.own_change_depth', outer_depth, true);
end
$$;
$migration$;

--- schema/13_refuse_cycle.sql

execute $migration$
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
$migration$;

--- schema/20_with_dependencies.sql

execute $migration$
-- Returns the changes of jobs that affect dependencies, as propagations that have not started.
create or replace function supaqueue.with_dependencies(
  _jobs uuid[], _old_statuses text[], _new_statuses text[], are_deleted boolean default false
)
returns supaqueue.propagation[]
language plpgsql
set search_path = ''
as $$
declare
  has_changes boolean := coalesce(current_setting('supaqueue.has_dependency_changes', true), '') = 'on';
begin
  return array(
    select (
      c.job, null, c.old_status, c.new_status, are_deleted,
      '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 1000, null, '-infinity'
    )::supaqueue.propagation
    from unnest(_jobs, _old_statuses, _new_statuses) as c (job, old_status, new_status)
    where (
      are_deleted
      -- Whether it is unfinished, whether it is successful.
      or (c.old_status in ('pending', 'waiting', 'in_progress'), c.old_status = 'successful')
        <> (c.new_status in ('pending', 'waiting', 'in_progress'), c.new_status = 'successful')
    ) and (
      current_setting('transaction_isolation') <> 'read committed'
      or exists (select from supaqueue.job_dependencies e where e.source = c.job order by e.target offset 0)
      or exists (select from supaqueue.dependent_job d where d.id = c.job offset 0)
      or are_deleted and exists (select from supaqueue.job_dependencies e where e.target = c.job order by e.source offset 0)
      or has_changes and exists (
        select from supaqueue.dependency_change d where d.xact = pg_current_xact_id() and d.source = c.job offset 0
      )
    )
  );
end
$$;
$migration$;

--- schema/21_affected_targets.sql

execute $migration$
-- Returns what changes of jobs mean to their first _limit targets, whose counts it locks, and leaves
-- the rest to the tick, in supaqueue.propagation.
--
-- A transaction of another level than read committed would miss dependencies that were added after it began,
-- so it leaves everything to the tick. One that has changed dependencies must count them first, at its commit.
--
-- Without may_wait, it locks the targets, too, and leaves everything to the tick if another transaction holds
-- one of them.
create or replace function supaqueue.affected_targets(
  _changes supaqueue.propagation[], _requeued uuid[], _limit integer, may_wait boolean
)
returns supaqueue.target_change[]
language plpgsql
set search_path = ''
as $$
declare
  -- Behind an earlier change of the same job.
  later supaqueue.propagation[];
  rest supaqueue.propagation[];
  found record;
  locked bigint;
begin
  select
    coalesce(array_agg(c.change) filter (where c.is_behind), '{}'),
    coalesce(array_agg(c.change) filter (where not c.is_behind), '{}')
  into later, _changes
  from (
    select c as change, c.number is null and exists (
      select from supaqueue.propagation p where p.source = c.source offset 0
    ) as is_behind
    from unnest(_changes) c
  ) c;

  if current_setting('transaction_isolation') <> 'read committed'
    or current_setting('supaqueue.has_dependency_changes', true) = 'on'
  then
    perform set_config('supaqueue.has_propagations', 'on', true);
    later := later || _changes;
    _changes := '{}';
  end if;

  with edge as materialized (
    select c.ordinality, c.old_status, c.new_status, c.is_deleted, c.source, e.*, row_number() over () as place
    from unnest(_changes) with ordinality c
    cross join lateral (
      select d.target, d.on_failure, d.ctid as edge
      from supaqueue.job_dependencies d
      where d.source = c.source and d.target between c.from_target and c.to_target
      order by d.target
      limit _limit + 1
    ) e
    limit _limit + 1
  ),
  difference as (
    select e.*, n.unfinished - o.unfinished as unfinished, n.failed - o.failed as failed,
      n.unfinished = 0 and n.failed = 0 as is_done
    from edge e
    join supaqueue.dependency_effect o on o.status = e.old_status and o.on_failure = e.on_failure
    join supaqueue.dependency_effect n on n.status = e.new_status and n.on_failure = e.on_failure
    where e.place <= _limit
  )
  select
    array(
      select (
        t.target, sum(t.unfinished), sum(t.failed), (array_agg(t.source) filter (where t.failed > 0))[1],
        bool_or(t.is_requeued)
      )::supaqueue.target_change
      -- One for each target: it may be requeued together with its source.
      from (
        select d.target, d.unfinished, d.failed, d.source, false as is_requeued
        from difference d
        where d.unfinished <> 0 or d.failed <> 0
        union all
        select r.job, 0, 0, null, true from unnest(_requeued) as r (job)
      ) t
      group by t.target
    ) as targets,
    array(select d.edge from difference d where d.is_deleted and d.is_done) as edges_to_delete,
    e.ordinality as first_left,
    e.target as next_target
  into found
  from (values (_limit + 1)) as l (place)
  left join edge e using (place);
  if found.first_left is not null then
    rest := _changes[found.first_left:];
    rest[1].from_target := found.next_target;
  end if;

  if may_wait then
    perform
    from (select distinct c.target from unnest(found.targets) c order by c.target) c
    cross join lateral (select from supaqueue.dependent_job d where d.id = c.target for update) d;
  elsif found.targets <> '{}' then
    locked := (
      select count(*)
      from (select c.target from unnest(found.targets) c order by c.target) c
      cross join lateral (select d.id from supaqueue.dependent_job d where d.id = c.target for update skip locked) d
      cross join lateral (select j.id from supaqueue.job j where j.id = c.target for no key update skip locked) j
    );
    if locked < (
      select count(*)
      from unnest(found.targets) c
      cross join lateral (select d.id from supaqueue.dependent_job d where d.id = c.target offset 0) d
      cross join lateral (select j.id from supaqueue.job j where j.id = c.target offset 0) j
    ) then
      if _changes[1].number is not null then
        raise exception 'a target is locked by another transaction' using errcode = 'lock_not_available';
      end if;
      found.targets := '{}';
      found.edges_to_delete := '{}';
      rest := _changes;
    end if;
  end if;
  if later <> '{}' or rest <> '{}' then
    insert into supaqueue.propagation (source, number, old_status, new_status, is_deleted, from_target, to_target, step)
    select r.source,
      coalesce(r.number, (select max(p.number) + 1 from supaqueue.propagation p where p.source = r.source), 1),
      r.old_status, r.new_status, r.is_deleted, r.from_target, r.to_target, least(r.step * 10, 1000)
    from unnest(later || rest) r;
  end if;
  perform supaqueue.delete_edges(found.edges_to_delete) where found.edges_to_delete <> '{}';
  return found.targets;
end
$$;
$migration$;

--- schema/22_decide_targets.sql

execute $migration$
-- Adds differences to the counts of targets, which must be locked, locks the targets, and returns the statuses
-- that follow: pending if nothing is left to wait for, cancelled if a source failed, waiting if a source is
-- retried. A source whose retry has not reached the target yet (propagation) counts as unfinished, too.
--
-- Targets are locked in the order of ids, like jobs everywhere, and returned in the order of
-- their insertion, in which they then become due.
create or replace function supaqueue.decide_targets(
  _changes supaqueue.target_change[],
  out places tid[], out old_statuses text[], out new_statuses text[], out errors jsonb[]
)
language plpgsql
set search_path = ''
as $$
begin
  with decided as materialized (
    select
      c.*,
      d.ctid as count_place,
      j.*,
      case
        when j.status = 'waiting' and c.failed > 0 then 'cancelled'
        when d.unfinished > 0 then 'waiting'
        else 'pending'
      end as new_status
    from (select t.* from unnest(_changes) t order by t.target) c
    cross join lateral (
      select e.ctid, e.failed + c.failed as failed, e.is_cancelled_for_source, case
          when e.unfinished + c.unfinished > 0 then e.unfinished + c.unfinished
          else (
            select count(*) from supaqueue.propagation p
            where p.new_status in ('pending', 'waiting') and c.target between p.from_target and p.to_target
              and exists (
                select from supaqueue.job_dependencies x where x.source = p.source and x.target = c.target offset 0
              )
          )
        end as unfinished
      from supaqueue.dependent_job e
      where e.id = c.target
      offset 0
    ) d
    left join lateral (
      select t.ctid as place, t.position, t.status, t.attempts, t.errors
      from supaqueue.job t
      where t.id = c.target and (
        t.status = 'waiting' and (c.failed > 0 or d.unfinished = 0)
        or t.status = 'cancelled' and d.is_cancelled_for_source and d.failed = 0 and c.failed < 0
        or t.status = 'pending' and t.attempts = 0 and d.unfinished > 0 and (c.unfinished > 0 or c.is_requeued)
      )
      for no key update
    ) j on true
  ),
  counted as (
    update supaqueue.dependent_job d
    set unfinished = d.unfinished + c.unfinished, failed = d.failed + c.failed,
      is_cancelled_for_source = case
        when c.place is null then d.is_cancelled_for_source and not c.is_requeued
        else c.new_status = 'cancelled'
      end
    from decided c
    where d.ctid = c.count_place
  )
  select
    array_agg(d.place order by d.position), array_agg(d.status order by d.position),
    array_agg(d.new_status order by d.position), array_agg(
      case
        when d.new_status <> 'cancelled' then d.errors
        else supaqueue.add_error(d.errors, d.attempts, format(
          'cancelled: it waited for job %s, which %s', d.failed_source,
          coalesce((select case s.status when 'failed' then 'failed' else 'was ' || s.status end
            from supaqueue.job s where s.id = d.failed_source), 'was deleted')))
      end order by d.position)
  into places, old_statuses, new_statuses, errors
  from decided d
  where d.place is not null;
end
$$;
$migration$;

--- schema/23_update_targets.sql

execute $migration$
-- Counts changes of targets, and sets the statuses that follow (decide_targets). Returns the targets whose
-- status changed, to be propagated by the caller: the trigger on job leaves them alone.
--
-- The update is planned each time, since it cannot have plan settings.
create or replace function supaqueue.update_targets(_changes supaqueue.target_change[])
returns supaqueue.propagation[]
language plpgsql
set search_path = public, extensions
as $$
declare
  outer_depth text := coalesce(current_setting('supaqueue.own_change_depth', true), '');
  decided record := supaqueue.decide_targets(_changes);
  changed record;
begin
  if decided.places is null then
    return '{}';
  end if;
  perform set_config('supaqueue.own_change_depth', pg_trigger_depth()::text, true);
  execute $update$
    with changed as (
      update supaqueue.job j
      set status = v.new_status, errors = v.errors
      from unnest($1, $2, $3, $4) as v (place, old_status, new_status, errors)
      where j.ctid = v.place
      returning j.id, v.old_status, j.status as new_status
    )
    select array_agg(c.id) as jobs, array_agg(c.old_status) as old_statuses, array_agg(c.new_status) as new_statuses
    from changed c
  $update$
  into changed
  using decided.places, decided.old_statuses, decided.new_statuses, decided.errors;
  perform set_config('supaqueue.own_change_depth', outer_depth, true);
  return supaqueue.with_dependencies(changed.jobs, changed.old_statuses, changed.new_statuses);
end
$$;
$migration$;

--- schema/24_propagate.sql

execute $migration$
-- Propagates changes of jobs to their targets, level by level: a target whose last source succeeded becomes
-- pending, the targets of a failed source are cancelled, and so on. Stops after _limit targets, and at
-- those that other transactions hold, and leaves the rest to the tick. Only the first level waits for locks:
-- whoever holds some and waits for more could deadlock.
create or replace function supaqueue.propagate(
  _changes supaqueue.propagation[], _requeued uuid[] default '{}', _limit integer default 1000,
  may_wait boolean default true
)
returns void
language plpgsql
set search_path = ''
as $$
declare
  targets supaqueue.target_change[];
begin
  loop
    targets := supaqueue.affected_targets(_changes, _requeued, _limit, may_wait);
    exit when targets = '{}';
    _limit := greatest(_limit - cardinality(targets), 0);
    _changes := supaqueue.update_targets(targets);
    _requeued := '{}';
    may_wait := false;
  end loop;
end
$$;
$migration$;

--- schema/25_take_propagations.sql

execute $migration$
-- Takes at most _limit rows of supaqueue.propagation out of the table, to go on with them: what is
-- still left then comes back (affected_targets). A row whose step differs is taken without others.
create or replace function supaqueue.take_propagations(_limit integer)
returns supaqueue.propagation[]
language sql
set search_path = ''
as $$
  with ready as (
    select p.source, p.number, p.from_target, p.step
    from supaqueue.propagation p
    where p.retry_at <= clock_timestamp()
      and not exists (
        select from supaqueue.propagation o where o.source = p.source and o.number < p.number offset 0
      )
    order by p.retry_at, p.since
    limit _limit
    for update skip locked
  ),
  chosen as (
    select r.*
    from (select t.*, row_number() over () as place, first_value(t.step) over () as first_step from ready t) r
    where r.step = r.first_step and r.place <= r.step
  ),
  deleted as (
    delete from supaqueue.propagation p
    using chosen c
    where p.source = c.source and p.number = c.number and p.from_target = c.from_target
    returning p as propagation
  )
  select coalesce(array_agg(d.propagation), '{}') from deleted d
$$;
$migration$;

--- schema/26_tick_job_dependencies.sql

execute $migration$
-- Continues unfinished propagations for about _limit targets, and returns whether there is more to do. It
-- waits for no lock and never fails: after a failure it takes smaller steps until the failing target is
-- isolated, and retries that one after growing pauses.
create or replace function supaqueue.continue_propagations(_limit integer)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  taken supaqueue.propagation[];
begin
  if current_setting('transaction_isolation') <> 'read committed'
    or current_setting('supaqueue.has_dependency_changes', true) = 'on'
  then
    return false;
  end if;
  begin
    taken := supaqueue.take_propagations(_limit);
    if taken = '{}' then
      return false;
    end if;
    perform supaqueue.propagate(taken, '{}', least(_limit, taken[1].step), may_wait => false);
    delete from supaqueue.unfinished u
    using unnest(taken) t
    where u.step = 'learn that a source ended' and u.job = t.to_target and t.retry_at > '-infinity';
  exception
    when others then
      if taken is null then
        raise;
      end if;
      perform supaqueue.put_off_propagations(taken, sqlstate, sqlerrm);
  end;
  return exists (select from supaqueue.propagation p where p.retry_at <= clock_timestamp());
end
$$;

-- What the tick does for job dependencies. A target that waits again takes its key again, which
-- another transaction may be about to take: the tick does not wait for that.
create or replace function supaqueue.tick_job_dependencies()
returns boolean
language sql
set search_path = ''
set lock_timeout = '1s'
as $$
  select supaqueue.continue_propagations(1000)
$$;

-- Makes the next step of propagations that failed smaller, or puts off their only target. The failure has
-- released their rows: those that another transaction has now are left to it.
create or replace function supaqueue.put_off_propagations(_failed supaqueue.propagation[], _sqlstate text, _message text)
returns void
language plpgsql
set search_path = ''
as $$
declare
  failed supaqueue.propagation;
  targets uuid[];
begin
  if _failed[1].step > 1 then
    with locked as (
      select p.source, p.number, p.from_target
      from unnest(_failed) f
      join supaqueue.propagation p using (source, number, from_target)
      for update of p skip locked
    )
    update supaqueue.propagation p
    set step = greatest(p.step / 10, 1)
    from locked l
    where p.source = l.source and p.number = l.number and p.from_target = l.from_target;
    return;
  end if;

  select p.* into failed
  from supaqueue.propagation p
  where p.source = _failed[1].source and p.number = _failed[1].number and p.from_target = _failed[1].from_target
    and p.retry_at <= clock_timestamp()
  for update skip locked;
  if not found then
    return;
  end if;
  -- Dependencies are only added while the row is not locked.
  targets := array(
    select d.target
    from supaqueue.job_dependencies d
    where d.source = failed.source and d.target between failed.from_target and failed.to_target
    order by d.target
    limit 2
  );
  update supaqueue.propagation p
  set to_target = coalesce(targets[1], p.to_target),
    retry_at = clock_timestamp() + greatest(interval '1 second', least(clock_timestamp() - p.since, interval '5 minutes'))
  where p.source = failed.source and p.number = failed.number and p.from_target = failed.from_target;
  insert into supaqueue.propagation (source, number, old_status, new_status, is_deleted, from_target, to_target, step)
  select failed.source, failed.number, failed.old_status, failed.new_status, failed.is_deleted,
    targets[2], failed.to_target, failed.step
  where targets[2] is not null;
  perform supaqueue.note_unfinished('learn that a source ended', null, targets[1], _sqlstate, _message);
end
$$;
$migration$;

--- schema/28_wait_for_job_lock.sql

execute $migration$
-- Waits until no other transaction holds a lock of a job or propagates its changes, and keeps no lock
-- itself. A locking query would keep the lock even of a row that changed while it waited and does not match
-- any more; only rolling back a subtransaction releases it.
create or replace function supaqueue.wait_for_job_lock(_job uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform from supaqueue.propagation p where p.source = _job for share;
  perform from supaqueue.job j where j.id = _job for share;
  raise exception 'release the lock' using errcode = 'SQ001';
exception
  when sqlstate 'SQ001' then null;
end
$$;
$migration$;

--- schema/29_hold_jobs.sql

execute $migration$
-- Locks those targets that are pending and have not started, and returns them.
--
-- Another transaction may hold one, to start it or to make it wait for another source. We wait for that
-- transaction without keeping a lock: a report on which we block later, at our commit, may need the job.
create or replace function supaqueue.lock_pending_jobs(_jobs uuid[])
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  pending uuid[];
  locked uuid[];
begin
  loop
    begin
      pending := array(
        select j.id from supaqueue.job j
        where j.id = any (_jobs) and j.status = 'pending' and j.attempts = 0
          and exists (select from supaqueue.job_dependencies e where e.target = j.id order by e.source offset 0)
      );
      locked := array(
        select j.id from supaqueue.job j
        where j.id = any (pending) and j.status = 'pending' and j.attempts = 0
        for no key update skip locked
      );
      if cardinality(locked) = cardinality(pending) then
        return locked;
      end if;
      raise exception 'release the locks' using errcode = 'SQ001';
    exception
      when sqlstate 'SQ001' then null;
    end;
    perform supaqueue.wait_for_job_lock(m.id)
    from (select unnest(pending) except select unnest(locked) limit 1) as m (id);
  end loop;
end
$$;

-- Sets those targets to waiting that are pending and have not started. Planned each time, see update_targets.
create or replace function supaqueue.hold_jobs(_jobs uuid[])
returns void
language plpgsql
set search_path = public, extensions
as $$
declare
  places tid[] := supaqueue.places_of(supaqueue.lock_pending_jobs(_jobs));
begin
  if places <> '{}' then
    execute 'update supaqueue.job j set status = ''waiting'' where j.ctid = any ($1)' using places;
  end if;
end
$$;

create or replace function supaqueue.places_of(_jobs uuid[])
returns tid[]
language plpgsql
stable
set search_path = ''
as $$
begin
  return array(select j.ctid from supaqueue.job j where j.id = any (_jobs));
end
$$;
$migration$;

--- schema/30_refuse_unknown_jobs.sql

execute $migration$
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
$migration$;

--- schema/31_refuse_started_targets.sql

execute $migration$
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
$migration$;

--- schema/33_try_lock_jobs.sql

execute $migration$
-- Locks jobs against a change of their status, and their propagations, without waiting. Returns null if all are
-- locked, else a job that another transaction holds (or any of them, if that is not known).
--
-- The lock timeout is there because "skip locked" can wait: see the core's next_jobs.
create or replace function supaqueue.try_lock_jobs(_sources uuid[], _targets uuid[])
returns uuid
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  me xid8 := pg_current_xact_id();
  jobs uuid[] := array(select distinct unnest(_sources || _targets) as id order by id);
  locked uuid[];
  propagating uuid[];
begin
  -- A job that this transaction wrote is locked already.
  locked := array(
    select l.id
    from unnest(jobs) as c (id)
    cross join lateral (
      select j.id from supaqueue.job j where j.id = c.id and j.xmin <> me::xid for share skip locked
    ) l
  );
  propagating := array(select p.source from supaqueue.propagation p where p.source = any (_sources) for share skip locked);
  return (
    select h.id
    from (
      (select j.id from supaqueue.job j where j.id = any (jobs) and j.xmin <> me::xid except select unnest(locked))
      union all
      (select p.source from supaqueue.propagation p where p.source = any (_sources) except all select unnest(propagating))
    ) h
    limit 1
  );
exception
  when lock_not_available then
    return jobs[1];
end
$$;
$migration$;

--- schema/34_lock_for_counting.sql

execute $migration$
-- Locks what counting the dependencies needs: the counts, and the jobs, whose status then stays
-- the same until the commit. It waits for a source that is just finishing, and sees the result.
--
-- The locks are taken in the order of a report: first jobs that have started, then counts, then
-- waiting jobs. A job that stops waiting in between may have started by then, and its report may
-- block on the counts. So the last step never waits with the counts locked: instead, all locks are
-- released, and taken again once the transaction that holds the job has ended.
create or replace function supaqueue.lock_for_counting(_sources uuid[], _targets uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  me xid8 := pg_current_xact_id();
  held uuid;
begin
  loop
    begin
      -- Targets, too: a started one is refused later, but its report may be in progress now.
      perform
      from (select distinct unnest(_sources || _targets) as id order by id) c
      cross join lateral (
        select from supaqueue.job j where j.id = c.id and j.status <> 'waiting' and j.xmin <> me::xid for share
      ) j;

      -- "do update" would lock existing rows before others with lower ids.
      insert into supaqueue.dependent_job (id, position)
      select j.id, j.position
      from (select distinct unnest(_targets) as id order by id) c
      cross join lateral (select t.id, t.position from supaqueue.job t where t.id = c.id offset 0) j
      on conflict (id) do nothing;
      perform
      from (
        select unnest(_targets) as id
        union
        select s.id from supaqueue.job s where s.id = any (_sources) and s.status = 'waiting'
        order by id
      ) c
      cross join lateral (select from supaqueue.dependent_job d where d.id = c.id for update) d;

      held := supaqueue.try_lock_jobs(_sources, _targets);
      exit when held is null;
      raise exception 'release the locks' using errcode = 'SQ001';
    exception
      when sqlstate 'SQ001' then null;
    end;
    perform supaqueue.wait_for_job_lock(held);
  end loop;
end
$$;
$migration$;

--- schema/35_check_dependency_changes.sql

execute $migration$
-- Checks the changes to dependencies that this transaction made, before they are counted.
create or replace function supaqueue.check_dependency_changes()
returns void
language plpgsql
set search_path = ''
as $$
declare
  me xid8 := pg_current_xact_id();
  all_sources uuid[];
  all_targets uuid[];
begin
  select array_agg(distinct c.source), array_agg(distinct c.target)
  into all_sources, all_targets
  from supaqueue.dependency_change c
  where c.xact = me;
  perform supaqueue.lock_for_counting(all_sources, all_targets);

  -- Resets rows that deleted jobs with the same ids left behind.
  update supaqueue.dependent_job d
  set position = j.position, unfinished = 0, failed = 0, is_cancelled_for_source = false
  from unnest(all_targets) as c (target)
  cross join lateral (select t.position from supaqueue.job t where t.id = c.target offset 0) j
  cross join lateral (select l.ctid from supaqueue.dependent_job l where l.id = c.target offset 0) l
  where d.ctid = l.ctid and d.position <> j.position;

  perform supaqueue.refuse_unknown_jobs();
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
end
$$;
$migration$;

--- schema/36_take_dependency_changes.sql

execute $migration$
-- Takes the changes to dependencies that this transaction made, and returns what they mean to their targets.
--
-- A source counts with the status that it had before a change that has not reached the target yet. One that is
-- missing was deleted, which counts as cancelled.
create or replace function supaqueue.take_dependency_changes()
returns supaqueue.target_change[]
language plpgsql
set search_path = ''
as $$
declare
  targets supaqueue.target_change[];
begin
  with counted as (
    delete from supaqueue.dependency_change c
    where c.xact = pg_current_xact_id()
    returning c.source, c.target, c.on_failure, case when c.is_added then 1 else -1 end as sign
  )
  select array_agg(d.change) into targets
  from (
    select (
      c.target, sum(c.sign * e.unfinished), sum(c.sign * e.failed),
      (array_agg(c.source) filter (where c.sign * e.failed > 0))[1], false
    )::supaqueue.target_change as change
    from counted c
    left join lateral (
      select p.old_status from supaqueue.propagation p
      where p.source = c.source and c.target between p.from_target and p.to_target
      order by p.number
      limit 1
    ) p on true
    left join lateral (select t.status from supaqueue.job t where t.id = c.source offset 0) j on true
    join supaqueue.dependency_effect e
      on e.status = coalesce(p.old_status, j.status, 'cancelled') and e.on_failure = c.on_failure
    group by c.target
  ) d;
  return coalesce(targets, '{}');
end
$$;
$migration$;

--- schema/37_record_dependency_changes.sql

execute $migration$
-- Records changes to dependencies, which are counted at the commit: the trigger of the first one counts all
-- (count_dependencies_tg_fn).
--
-- Queues that the transaction has woken before are taken from the core's list and dispatched after the counting: a
-- dispatch holds the locks of queues, and a report on which the counting blocks may need them.
create or replace function supaqueue.record_dependency_changes_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  old_edges supaqueue.job_dependencies[] := '{}';
  new_edges supaqueue.job_dependencies[] := '{}';
  targets uuid[];
  is_first boolean := coalesce(current_setting('supaqueue.has_dependency_changes', true), '') <> 'on';
begin
  if tg_op <> 'INSERT' then
    old_edges := array(select o::supaqueue.job_dependencies from old_rows o);
  end if;
  if tg_op <> 'DELETE' then
    new_edges := array(select n::supaqueue.job_dependencies from new_rows n);
  end if;
  if tg_op = 'UPDATE' then
    if exists (select o.source, o.target from old_rows o except select n.source, n.target from new_rows n) then
      raise exception 'cannot change the source or target of a dependency'
        using errcode = 'feature_not_supported', hint = 'Delete the dependency and insert another.';
    end if;
  end if;
  if old_edges || new_edges = '{}' then
    return null;
  end if;

  if is_first then
    perform set_config('supaqueue.has_dependency_changes', 'on', true),
      set_config('supaqueue.queues_after_dependencies', w.queues::text, true),
      set_config('supaqueue.usable_workers_after_dependencies', w.has_usable_workers::text, true)
    from supaqueue.take_wake_ups() w;
  end if;
  insert into supaqueue.dependency_change (source, target, on_failure, is_added, is_first)
  select c.source, c.target, c.on_failure, c.is_added, is_first and row_number() over () = 1
  from (
    select o.source, o.target, o.on_failure, false as is_added from unnest(old_edges) o
    union all
    select n.source, n.target, n.on_failure, true from unnest(new_edges) n
  ) c;
  if tg_op = 'INSERT' then
    -- A target must not start before the counting, so it waits from now on. If another transaction is
    -- starting it, this waits for that transaction and then fails.
    targets := array(select distinct n.target from unnest(new_edges) n);
    perform supaqueue.hold_jobs(targets);
    perform supaqueue.refuse_started_targets(targets);
    if cardinality(targets) > cardinality(supaqueue.places_of(targets)) then
      perform set_config('supaqueue.has_early_dependencies', 'on', true);
    end if;
  end if;
  return null;
end
$$;

create or replace trigger record_added_dependencies_tg
after insert on supaqueue.job_dependencies
referencing new table as new_rows
for each statement
execute function supaqueue.record_dependency_changes_tg_fn();

create or replace trigger record_updated_dependencies_tg
after update on supaqueue.job_dependencies
referencing old table as old_rows new table as new_rows
for each statement
execute function supaqueue.record_dependency_changes_tg_fn();

-- Does not fire when the add-on itself deletes the dependencies of deleted jobs.
create or replace trigger record_deleted_dependencies_tg
after delete on supaqueue.job_dependencies
referencing old table as old_rows
for each statement
when (current_setting('supaqueue.own_change_depth', true) is distinct from pg_trigger_depth()::text)
execute function supaqueue.record_dependency_changes_tg_fn();

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
$migration$;

--- schema/38_count_dependencies.sql

execute $migration$
-- Counts the transaction's changes to dependencies at its commit: checks those that it added, and updates the
-- statuses of the targets. Then propagates what had to wait for that, and dispatches.
create or replace function supaqueue.count_dependencies_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  queues_before uuid[] := current_setting('supaqueue.queues_after_dependencies')::uuid[];
  had_usable_workers boolean := current_setting('supaqueue.usable_workers_after_dependencies')::boolean;
begin
  perform set_config('supaqueue.has_dependency_changes', '', true);
  perform set_config('supaqueue.has_early_dependencies', '', true);
  perform supaqueue.check_dependency_changes();
  perform supaqueue.propagate(supaqueue.update_targets(supaqueue.take_dependency_changes()), may_wait => false);
  if current_setting('supaqueue.has_propagations', true) = 'on' then
    perform supaqueue.continue_propagations(1000);
  end if;
  perform supaqueue.dispatch(queues_before || w.queues, had_usable_workers or w.has_usable_workers)
  from supaqueue.take_wake_ups() w
  where queues_before || w.queues <> '{}';
  return null;
end
$$;

drop trigger if exists count_dependencies_tg on supaqueue.dependency_change;
create constraint trigger count_dependencies_tg
after insert on supaqueue.dependency_change
deferrable initially deferred
for each row when (new.is_first)
execute function supaqueue.count_dependencies_tg_fn();
$migration$;

--- schema/40_after_update_job.sql

execute $migration$
-- Propagates changes of jobs within the statement that made them: in a report, that is before the
-- search for the worker's next job.
create or replace function supaqueue.propagate_updated_jobs_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  changed record;
  changes supaqueue.propagation[];
  requeued uuid[];
begin
  select array_agg(c.id) as jobs, array_agg(c.old_status) as old_statuses, array_agg(c.new_status) as new_statuses
  into changed
  from (
    select r.id, max(r.old_status) as old_status, max(r.new_status) as new_status
    from (
      select o.id, o.status as old_status, null as new_status from old_jobs o
      union all
      select n.id, null, n.status from new_jobs n
    ) r
    group by r.id
  ) c
  where c.old_status <> c.new_status and c.new_status <> 'in_progress';
  if changed.jobs is null then
    return null;
  end if;
  changes := supaqueue.with_dependencies(changed.jobs, changed.old_statuses, changed.new_statuses);
  if changes = '{}' then
    return null;
  end if;

  requeued := array(select c.source from unnest(changes) c where c.new_status in ('pending', 'waiting'));
  begin
    perform supaqueue.propagate(changes, requeued);
  exception
    when others then
      if requeued <> '{}' or sqlstate ~ '^(40|53|55|57|58)' then
        raise;
      end if;
      -- A trigger of the user's may refuse to change a target, but not to let its source end.
      raise warning 'the targets of job % are left to the tick: %', changes[1].source, sqlerrm;
      perform supaqueue.propagate(changes, _limit => 0);
  end;

  -- A report also goes on with what others left.
  if exists (select from unnest(changes) c where c.old_status = 'in_progress') then
    perform supaqueue.continue_propagations(100)
    where exists (select from supaqueue.propagation p where p.retry_at <= clock_timestamp());
  end if;
  return null;
end
$$;

create or replace trigger propagate_updated_jobs_tg
after update on supaqueue.job
referencing old table as old_jobs new table as new_jobs
for each statement
when (current_setting('supaqueue.own_change_depth', true) is distinct from pg_trigger_depth()::text)
execute function supaqueue.propagate_updated_jobs_tg_fn();
$migration$;

--- schema/41_after_insert_job.sql

execute $migration$
-- Sets jobs to waiting that are inserted after a dependency of which they are the target.
create or replace function supaqueue.hold_inserted_jobs_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform supaqueue.hold_jobs(array(select i.id from inserted i));
  return null;
end
$$;

create or replace trigger hold_inserted_jobs_tg
after insert on supaqueue.job
referencing new table as inserted
for each statement
when (current_setting('supaqueue.has_early_dependencies', true) = 'on')
execute function supaqueue.hold_inserted_jobs_tg_fn();
$migration$;

--- schema/42_after_delete_job.sql

execute $migration$
-- Forgets what deleted jobs waited for.
create or replace function supaqueue.forget_targets(_jobs uuid[])
returns void
language sql
set search_path = ''
as $$
  -- "is true" keeps the subquery hashed, so that each target is looked up once. With "= any",
  -- each one would be compared with all jobs.
  delete from supaqueue.dependency_change c
  where c.xact = pg_current_xact_id() and (c.target in (select unnest(_jobs))) is true;
  select supaqueue.delete_edges(array(
    select e.ctid from supaqueue.job_dependencies e where e.target = any (_jobs)
  ));
  -- Counts locked by a transaction that may be waiting for the job are skipped: a row left behind is recognised
  -- by its position.
  delete from supaqueue.dependent_job d
  where d.id = any (array(
    select t.id from supaqueue.dependent_job t where t.id = any (_jobs) for update skip locked
  ))
$$;

-- A source that is deleted before it finished counts as cancelled; one that had finished keeps its
-- effect. A dependency on a deleted source is kept if it still blocks its target, else deleted.
create or replace function supaqueue.propagate_deleted_jobs_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
declare
  deleted_jobs record;
  changes supaqueue.propagation[];
begin
  select array_agg(d.id) as ids, array_agg(d.status) as old_statuses,
    array_agg(case when d.status in ('successful', 'failed') then d.status else 'cancelled' end) as new_statuses
  into deleted_jobs
  from deleted d;
  if deleted_jobs.ids is null then
    return null;
  end if;
  changes := supaqueue.with_dependencies(deleted_jobs.ids, deleted_jobs.old_statuses, deleted_jobs.new_statuses, true);
  if changes = '{}' then
    return null;
  end if;
  perform supaqueue.forget_targets(array(select c.source from unnest(changes) c));
  perform supaqueue.propagate(changes);
  return null;
end
$$;

create or replace trigger propagate_deleted_jobs_tg
after delete on supaqueue.job
referencing old table as deleted
for each statement
execute function supaqueue.propagate_deleted_jobs_tg_fn();
$migration$;

--- schema/43_before_delete_job.sql

execute $migration$
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
$migration$;

--- schema/44_after_truncate_job.sql

execute $migration$
-- Truncating the jobs deletes all dependencies.
create or replace function supaqueue.propagate_truncated_jobs_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform supaqueue.delete_edges(array(select e.ctid from supaqueue.job_dependencies e));
  delete from supaqueue.dependent_job d where true;
  delete from supaqueue.propagation p where true;
  return null;
end
$$;

create or replace trigger propagate_truncated_jobs_tg
after truncate on supaqueue.job
for each statement
execute function supaqueue.propagate_truncated_jobs_tg_fn();
$migration$;

--- schema/45_before_update_job.sql

execute $migration$
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
  if not exists (select from supaqueue.job_dependencies e where e.target = new.id and e.pass_result) then
    return new;
  end if;

  if jsonb_typeof(new.payload) <> 'object' then
    problem := 'its payload is not an object';
  elsif exists (
    -- Measured first, and only until it is too much: together they may be more than Postgres can hold.
    select
    from (
      select sum(90 + coalesce(octet_length(s.result::text), 4)) over (rows unbounded preceding) as bytes
      from supaqueue.job_dependencies e
      cross join lateral (select t.result from supaqueue.job t where t.id = e.source offset 0) s
      where e.target = new.id and e.pass_result
    ) m
    where m.bytes > 5000000
  ) then
    problem := 'its payload would exceed 5 MB';
  else
    select jsonb_agg(
      jsonb_build_object('job', s.id, 'queue', q.name, 'status', s.status, 'result', s.result)
      order by s.position)
    into sources
    from supaqueue.job_dependencies e
    cross join lateral (select t.* from supaqueue.job t where t.id = e.source offset 0) s
    join supaqueue.queue q on q.id = s.queue
    where e.target = new.id and e.pass_result;
    payload := new.payload || jsonb_build_object('sources', coalesce(sources, '[]'));
    if octet_length(payload::text) > 5000000 then
      problem := 'its payload would exceed 5 MB';
    end if;
  end if;
  if problem is null then
    new.payload := payload;
    return new;
  end if;

  new.status := 'cancelled';
  new.errors := supaqueue.add_error(
    new.errors, new.attempts, 'cancelled: cannot add the results of its sources: ' || problem);
  -- Retrying a source restores it.
  update supaqueue.dependent_job d set is_cancelled_for_source = true where d.id = new.id;
  return new;
end
$$;

-- Triggers fire in the order of their names: this one before the core's before_update_job_tg, which
-- must see the status set here.
create or replace trigger add_results_tg
before update on supaqueue.job
for each row when (new.status = 'pending' and old.status not in ('pending', 'in_progress'))
execute function supaqueue.add_results_tg_fn();
$migration$;

--- schema/50_enqueue.sql

execute $migration$
-- The core's enqueue_outcome and enqueue, for a job that waits for others. A holder of its key that was changed
-- (on_conflict) waits for them, too.
--
-- queue_name is a varchar so that calls without depends_on are not ambiguous: Postgres prefers the
-- core's functions, whose parameter is a text.
create or replace function supaqueue.enqueue_outcome(
  queue_name varchar,
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
  depends_on uuid[] default '{}',
  on_failure text default 'fail',
  pass_results boolean default false,
  out job uuid,
  out outcome text
)
language plpgsql
set search_path = ''
as $$
begin
  if key is null and on_conflict = 'keep' then
    insert into supaqueue.job as j (queue, payload, status, priority, run_at, headers, max_attempts, timeout_ms, path, tenant)
    values (
      supaqueue.queue_id(queue_name), payload, case when depends_on <> '{}' then 'waiting' else 'pending' end,
      priority, run_at, headers, max_attempts, timeout_ms, path, tenant)
    returning j.id into job;
    outcome := 'inserted';
  else
    select o.job, o.outcome into job, outcome
    from supaqueue.enqueue_outcome(
      queue_name::text, payload, priority, run_at, headers, max_attempts, timeout_ms, path, key, on_conflict, tenant) o;
  end if;
  insert into supaqueue.job_dependencies (source, target, on_failure, pass_result)
  select distinct d.source, enqueue_outcome.job, enqueue_outcome.on_failure, enqueue_outcome.pass_results
  from unnest(depends_on) as d (source)
  where enqueue_outcome.outcome <> 'kept'
  on conflict do nothing;
end
$$;
comment on function supaqueue.enqueue_outcome(varchar, jsonb, integer, timestamptz, jsonb, integer, integer, text, text, text, text, uuid[], text, boolean) is
  'Like enqueue with depends_on; returns the id (job) and what happened (outcome): inserted, kept, replaced, postponed or merged';

create or replace function supaqueue.enqueue(
  queue_name varchar,
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
  depends_on uuid[] default '{}',
  on_failure text default 'fail',
  pass_results boolean default false
)
returns uuid
language sql
set search_path = ''
as $$
  select o.job
  from supaqueue.enqueue_outcome(
    queue_name, payload, priority, run_at, headers, max_attempts, timeout_ms, path, key, on_conflict, tenant,
    depends_on, on_failure, pass_results) o
$$;
comment on function supaqueue.enqueue(varchar, jsonb, integer, timestamptz, jsonb, integer, integer, text, text, text, text, uuid[], text, boolean) is
  'Enqueues a job that waits for others (depends_on); returns its id, or that of the job that holds its key already';
$migration$;

--- schema/51_pipeline_problem.sql

execute $migration$
-- What is wrong with the document of a pipeline (see enqueue_pipeline), or null.
create or replace function supaqueue.pipeline_problem(pipeline jsonb)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  id_pattern constant text := '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
  problem text;
  members text[];
begin
  if jsonb_typeof(pipeline) is distinct from 'array' then
    return 'it is not a list of jobs';
  end if;
  problem := (
    select p.problem
    from jsonb_array_elements(pipeline) with ordinality as j (job, number)
    cross join lateral (
      select case
        when jsonb_typeof(j.job) <> 'object' or jsonb_typeof(j.job -> 'name') is distinct from 'string'
          or jsonb_typeof(j.job -> 'queue') is distinct from 'string'
        then format('job %s needs a "name" and a "queue", both strings', j.number)
        when jsonb_typeof(coalesce(j.job -> 'depends_on', '[]')) <> 'array'
          or jsonb_typeof(coalesce(j.job -> 'required_by', '[]')) <> 'array'
        then format('depends_on and required_by of job %L must be lists', j.job ->> 'name')
        else (
          select format('job %L has an unknown key %L', j.job ->> 'name', k.key)
          from jsonb_object_keys(j.job) as k (key)
          where k.key not in (
            'name', 'queue', 'payload', 'priority', 'run_at', 'headers', 'max_attempts', 'timeout_ms', 'path', 'tenant', 'key',
            'depends_on', 'required_by', 'on_failure', 'pass_results')
          limit 1
        )
      end
    ) as p (problem)
    where p.problem is not null
    order by j.number
    limit 1
  );
  problem := coalesce(problem, (
    select format('two of its jobs are named %L', j ->> 'name')
    from jsonb_array_elements(pipeline) j
    group by j ->> 'name'
    having count(*) > 1
    limit 1
  ));
  problem := coalesce(problem, (
    select format('job %L refers to %s, which is neither one of its jobs nor an id',
      j ->> 'name', coalesce(quote_literal(d.other), 'null'))
    from jsonb_array_elements(pipeline) j
    cross join lateral (
      select x.other from jsonb_array_elements_text(j -> 'depends_on') as x (other)
      where x.other is null or x.other not in (select n ->> 'name' from jsonb_array_elements(pipeline) n)
      union all
      select x.other from jsonb_array_elements_text(j -> 'required_by') as x (other)
    ) d
    where (d.other ~* id_pattern) is not true
    limit 1
  ));
  if problem is not null then
    return problem;
  end if;

  select supaqueue.find_cycle(array_agg(d.other), array_agg(j ->> 'name')) into members
  from jsonb_array_elements(pipeline) j
  cross join lateral jsonb_array_elements_text(j -> 'depends_on') as d (other);
  return 'its jobs would wait for each other: '
    || array_to_string(members[1:20], ' → ') || case when cardinality(members) > 20 then ' → …' else '' end
    || ' → ' || members[1];
end
$$;
$migration$;

--- schema/52_enqueue_pipeline.sql

execute $migration$
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
  problem text := supaqueue.pipeline_problem(pipeline);
  documents jsonb[];
  ids uuid[];
  by_name jsonb;
begin
  if problem is not null then
    raise exception 'cannot enqueue the pipeline: %', problem
      using errcode = 'invalid_parameter_value', hint =
        'An example: [{"name": "a", "queue": "q"}, {"name": "b", "queue": "q", "depends_on": ["a"]}]. Further keys are '
        'payload, priority, run_at, headers, max_attempts, timeout_ms, path, tenant, key, required_by, on_failure and pass_results. '
        'depends_on takes names of jobs in the document and ids of existing jobs, required_by only ids.';
  end if;
  documents := array(select jsonb_array_elements(pipeline));
  ids := array(select supaqueue.new_id() from unnest(documents));
  by_name := (
    select coalesce(jsonb_object_agg(j.document ->> 'name', j.id), '{}') from unnest(ids, documents) as j (id, document)
  );

  insert into supaqueue.job (id, queue, payload, status, priority, run_at, headers, max_attempts, timeout_ms, path, tenant, key)
  select
    j.id,
    q.id,
    coalesce(j.document -> 'payload', '{}'),
    case when jsonb_array_length(coalesce(j.document -> 'depends_on', '[]')) > 0 then 'waiting' else 'pending' end,
    coalesce((j.document ->> 'priority')::integer, 0),
    coalesce((j.document ->> 'run_at')::timestamptz, now()),
    nullif(j.document -> 'headers', 'null'),
    (j.document ->> 'max_attempts')::integer,
    (j.document ->> 'timeout_ms')::integer,
    j.document ->> 'path',
    j.document ->> 'tenant',
    j.document ->> 'key'
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
    select coalesce(by_name ->> x.other, x.other)::uuid as source, j.id as target
    from jsonb_array_elements_text(j.document -> 'depends_on') as x (other)
    union all
    select j.id, x.other::uuid from jsonb_array_elements_text(j.document -> 'required_by') as x (other)
  ) d;
  return by_name;
end
$$;
comment on function supaqueue.enqueue_pipeline is 'Enqueues the jobs of a JSON document with their dependencies; returns the ids by name';
$migration$;

--- schema/60_pipeline.sql

execute $migration$
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
$migration$;

--- schema/61_pipeline_mermaid.sql

execute $migration$
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
$migration$;

--- schema/62_explain_waiting.sql

execute $migration$
-- Why a target is waiting, in one plain sentence; null if it waits for no other job.
create or replace function supaqueue.explain_waiting(job uuid)
returns text
language sql
stable
set search_path = ''
as $$
  select coalesce(
    (
      select format('The end of job %s has not reached it yet: it reaches a thousand jobs at a time, at the next ticks.', p.source)
      from supaqueue.propagation p
      where explain_waiting.job between p.from_target and p.to_target
        and exists (
          select from supaqueue.job_dependencies e where e.source = p.source and e.target = explain_waiting.job offset 0
        )
      limit 1
    ),
    (
      select format('It waits for other jobs (%s): select * from supaqueue.pipeline(%L);', d.unfinished, d.id)
      from supaqueue.dependent_job d
      where d.id = explain_waiting.job and d.unfinished > 0
    )
  )
$$;
comment on function supaqueue.explain_waiting is 'Why a target of job dependencies is waiting, in one plain sentence';
$migration$;

--- schema/63_edges_of.sql

execute $migration$
-- The sources or targets of a job, the first 100, for show_job.
create or replace function supaqueue.edges_of(job uuid, side text)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object('id', e.id, 'status', j.status, 'queue', q.name) order by e.id), '[]')
    from (
      (select d.source as id from supaqueue.job_dependencies d where side = 'source' and d.target = edges_of.job order by d.source limit 100)
      union all
      (select d.target from supaqueue.job_dependencies d where side = 'target' and d.source = edges_of.job order by d.target limit 100)
    ) e
    left join lateral (select t.status, t.queue from supaqueue.job t where t.id = e.id offset 0) j on true
    left join supaqueue.queue q on q.id = j.queue
  );
end
$$;
$migration$;

--- schema/63_show_pipeline.sql

execute $migration$
-- The jobs connected with a job by dependencies, the nearest first, and at most so many: a pipeline may have millions.
create or replace function supaqueue.connected(job uuid, at_most integer)
returns setof uuid
language sql
stable
set search_path = ''
as $$
  with recursive member (id) as (
    select connected.job
    union
    select neighbour.id
    from member m
    cross join lateral (
      (select e.target from supaqueue.job_dependencies e where e.source = m.id order by e.target limit at_most)
      union all
      (select e.source from supaqueue.job_dependencies e where e.target = m.id order by e.source limit at_most)
    ) as neighbour (id)
  )
  select m.id from member m limit at_most
$$;

-- A pipeline for a page: its jobs in the order in which they were inserted, and their dependencies. Null if there is no
-- such job. Of a larger pipeline it has the jobs nearest to the given one, and is_whole is false.
create or replace function supaqueue.show_pipeline(job uuid, at_most integer default 200)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  max_dependencies constant integer := 2000;
  members uuid[] := array(select supaqueue.connected(job, at_most + 1));
  jobs jsonb;
  dependencies jsonb;
begin
  if cardinality(members) = 1 and not exists (select from supaqueue.job j where j.id = members[1]) then
    return null;
  end if;
  jobs := (
    select jsonb_agg(jsonb_build_object(
        'id', m.id, 'queue', j.queue_name, 'status', coalesce(j.status, 'deleted'), 'attempts', j.attempts,
        'http_status', j.http_status, 'created_at', j.created_at, 'started_at', j.started_at,
        'finished_at', j.finished_at, 'duration_ms', j.duration_ms
      ) order by j.position nulls last, m.id)
    from unnest(members[:at_most]) as m (id)
    left join lateral (
      select t.*, (select q.name from supaqueue.queue q where q.id = t.queue) as queue_name
      from supaqueue.job t
      where t.id = m.id
      offset 0
    ) j on true
  );
  dependencies := (
    select coalesce(jsonb_agg(to_jsonb(d)), '[]')
    from (
      select e.source, e.target, e.on_failure, e.pass_result
      from unnest(members[:at_most]) as m (id)
      cross join lateral (
        select * from supaqueue.job_dependencies t where t.target = m.id order by t.source limit at_most
      ) e
      where e.source = any (members[:at_most])
      limit max_dependencies + 1
    ) d
  );
  return jsonb_build_object(
    'jobs', jobs,
    'dependencies', dependencies - max_dependencies,
    'is_whole', cardinality(members) <= at_most and jsonb_array_length(dependencies) <= max_dependencies
  );
end
$$;
comment on function supaqueue.show_pipeline is 'The jobs connected with a job by dependencies, and the dependencies, as JSON; of a large pipeline the nearest at_most jobs';
$migration$;

--- schema/64_list_pipelines.sql

execute $migration$
-- Pipelines for a page, the newest first, each with the newest of its first jobs (those that wait for none), by which it
-- is sorted. Jobs are counted up to 101 each.
--
-- A call looks at 500 sources at most, so a page may have fewer pipelines than page_size, and more to come.
create or replace function supaqueue.list_pipelines(page_size integer default 20, "cursor" text default null)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  max_jobs constant integer := 100;
  _source uuid := coalesce("cursor", 'ffffffff-ffff-ffff-ffff-ffffffffffff');
  pipelines jsonb := '[]';
  -- The jobs of those listed that are larger than what was read.
  seen uuid[] := '{}';
  members uuid[];
  is_whole boolean;
  _examined integer := 0;
begin
  while jsonb_array_length(pipelines) < least(greatest(page_size, 1), 100) and _examined < 500 loop
    _source := (
      select e.source from supaqueue.job_dependencies e where e.source < _source order by e.source desc limit 1
    );
    exit when _source is null;
    _examined := _examined + 1;
    continue when _source = any (seen) or exists (select from supaqueue.job_dependencies e where e.target = _source);
    members := array(select supaqueue.connected(_source, max_jobs + 1));
    is_whole := cardinality(members) <= max_jobs;
    continue when exists (
      select from unnest(members) as m (id)
      where m.id > _source and not exists (select from supaqueue.job_dependencies e where e.target = m.id)
    );
    if not is_whole then
      continue when members && seen;
      seen := seen || members;
    end if;
    pipelines := pipelines || (
      select jsonb_build_object(
        'job', _source,
        'queue', max(j.queue) filter (where j.id = _source),
        'created_at', max(j.created_at) filter (where j.id = _source),
        'finished_at', case when is_whole and bool_and(j.status in ('successful', 'failed', 'cancelled')) then max(j.finished_at) end,
        'is_whole', is_whole,
        'jobs', count(*),
        'pending', count(*) filter (where j.status = 'pending'),
        'waiting', count(*) filter (where j.status = 'waiting'),
        'in_progress', count(*) filter (where j.status = 'in_progress'),
        'successful', count(*) filter (where j.status = 'successful'),
        'failed', count(*) filter (where j.status = 'failed'),
        'cancelled', count(*) filter (where j.status = 'cancelled')
      )
      from unnest(members[:max_jobs]) as m (id)
      left join lateral (
        select t.id, t.status, t.created_at, t.finished_at, (select q.name from supaqueue.queue q where q.id = t.queue) as queue
        from supaqueue.job t
        where t.id = m.id
        offset 0
      ) j on true
    );
  end loop;
  return jsonb_build_object('pipelines', pipelines, 'next', _source, 'examined', _examined);
end
$$;
comment on function supaqueue.list_pipelines is 'A page of pipelines, as JSON: the newest first, each with its number of jobs per status; next is the cursor of the next page';
$migration$;

--- schema/89_plan_settings.sql

execute $migration$
-- Makes functions use indexes even with a stale plan (see the core's plan_settings). None of them updates
-- supaqueue.job, because users' triggers there must see their own settings.
do $$
declare
  _function regprocedure;
begin
  for _function in
    select p.oid
    from pg_catalog.pg_proc p
    where p.pronamespace = 'supaqueue'::regnamespace and p.proname = any (array[
      'reachable', 'places_of', 'delete_edges', 'refuse_cycle', 'with_dependencies', 'affected_targets', 'decide_targets',
      'take_propagations', 'put_off_propagations', 'wait_for_job_lock', 'lock_pending_jobs', 'refuse_unknown_jobs',
      'refuse_started_targets', 'try_lock_jobs', 'lock_for_counting', 'take_dependency_changes',
      'check_dependency_changes', 'forget_targets', 'keep_source_tg_fn', 'add_results_tg_fn', 'edges_of', 'connected', 'show_pipeline',
      'list_pipelines'
    ])
  loop
    execute format(
      'alter function %s set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off '
      'set jit = off set plan_cache_mode = force_generic_plan', _function);
  end loop;
end
$$;
$migration$;

--- schema/90_privileges.sql

execute $migration$
select supaqueue.protect_new_objects(
  '{"job_dependencies": "insert, update, delete"}',
  array['enqueue', 'enqueue_outcome', 'enqueue_pipeline', 'pipeline_problem', 'find_cycle', 'pipeline', 'pipeline_mermaid', 'explain_waiting', 'edges_of', 'connected', 'show_pipeline', 'list_pipelines']
);
$migration$;

--- end

insert into supaqueue.version (part, number, name, finished_at) values ('job_dependencies', 1, '0001_job_dependencies', now());

end
$supaqueue$;
