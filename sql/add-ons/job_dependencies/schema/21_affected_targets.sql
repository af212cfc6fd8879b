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
