-- Adds differences to the counts of targets, and gives each target the status that
-- follows: pending when nothing is left to wait for, cancelled when a source failed,
-- waiting again when a source is retried. Returns the targets whose status changed.
--
-- The counts must be locked (lock_dependents). _culprits: of each target, a source
-- that failed. _requeued: whether somebody set it back to pending: then it waits if it
-- has unfinished sources.
create or replace function supaqueue.decide(
  _targets uuid[], _unfinished integer[], _failed integer[], _culprits uuid[], _requeued boolean[],
  out jobs uuid[], out old_statuses text[], out new_statuses text[]
)
language plpgsql
set search_path = ''
as $$
declare
  outer_depth text := coalesce(current_setting('supaqueue.deciding_at_depth', true), '');
  culprits uuid[];
begin
  update supaqueue.dependent_job d
  set unfinished = d.unfinished + c.unfinished, failed = d.failed + c.failed
  from unnest(_targets, _unfinished, _failed) as c (target, unfinished, failed)
  cross join lateral (select l.ctid from supaqueue.dependent_job l where l.id = c.target offset 0) l
  where d.ctid = l.ctid and (c.unfinished <> 0 or c.failed <> 0);

  -- In the order of the ids, as everybody locks jobs. What becomes pending at once is due in the
  -- order of insertion.
  select array_agg(l.id), array_agg(l.old_status), array_agg(l.new_status), array_agg(l.culprit)
  into jobs, old_statuses, new_statuses, culprits
  from (
    select
      j.id,
      j.status as old_status,
      c.culprit,
      case
        when j.status = 'waiting' and c.failed > 0 then 'cancelled'
        when d.unfinished > 0 then 'waiting'
        else 'pending'
      end as new_status
    from (
      select t.*
      from unnest(_targets, _unfinished, _failed, _culprits, _requeued) as t (target, unfinished, failed, culprit, is_requeued)
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

  -- What this changes is passed on by our caller, not by the trigger on job.
  perform set_config('supaqueue.deciding_at_depth', pg_trigger_depth()::text, true);
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
              'cancelled: it waited for job %s, which %s', v.culprit,
              coalesce((select case s.status when 'failed' then 'failed' else 'was ' || s.status end
                from supaqueue.job s where s.id = v.culprit), 'was deleted'))),
          (select s.max_errors from supaqueue.setting s))
      end
    from unnest(jobs, old_statuses, new_statuses, culprits) as v (job, old_status, new_status, culprit)
    cross join lateral (select l.ctid from supaqueue.job l where l.id = v.job offset 0) l
    where j.ctid = l.ctid
    returning j.id, v.old_status, j.status as new_status
  )
  select array_agg(c.id), array_agg(c.old_status), array_agg(c.new_status)
  into jobs, old_statuses, new_statuses
  from changed c;
  perform set_config('supaqueue.deciding_at_depth', outer_depth, true);

  if 'cancelled' = any (old_statuses || new_statuses) then
    update supaqueue.dependent_job d
    set is_cancelled_for_source = (c.new_status = 'cancelled')
    from unnest(jobs, new_statuses) as c (job, new_status)
    cross join lateral (select l.ctid from supaqueue.dependent_job l where l.id = c.job offset 0) l
    where d.ctid = l.ctid and d.is_cancelled_for_source <> (c.new_status = 'cancelled');
  end if;
end
$$;
