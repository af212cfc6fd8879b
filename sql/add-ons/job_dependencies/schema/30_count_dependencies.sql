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
