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
