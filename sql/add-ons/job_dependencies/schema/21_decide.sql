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
security definer
set search_path = ''
set plan_cache_mode = force_generic_plan
as $$
declare
  outer_depth text := coalesce(current_setting('supaqueue.deciding_at_depth', true), '');
begin
  update supaqueue.dependent_job d
  set unfinished = d.unfinished + c.unfinished, failed = d.failed + c.failed
  from unnest(_targets, _unfinished, _failed) as c (target, unfinished, failed)
  where d.id = c.target and (c.unfinished <> 0 or c.failed <> 0);

  -- What this changes is passed on by our caller, not by the trigger on job.
  perform set_config('supaqueue.deciding_at_depth', pg_trigger_depth()::text, true);
  with locked as materialized (
    select
      j.id,
      j.position,
      j.status as old_status,
      c.culprit,
      case
        when j.status = 'waiting' and c.failed > 0 then 'cancelled'
        when d.unfinished > 0 then 'waiting'
        else 'pending'
      end as new_status
    from unnest(_targets, _unfinished, _failed, _culprits, _requeued) as c (target, unfinished, failed, culprit, is_requeued)
    join supaqueue.dependent_job d on d.id = c.target
    join supaqueue.job j on j.id = c.target
    where j.status = 'waiting' and (c.failed > 0 or d.unfinished = 0)
      or j.status = 'cancelled' and d.is_cancelled_for_source and d.failed = 0 and c.failed < 0
      or j.status = 'pending' and j.attempts = 0 and d.unfinished > 0
        and (c.unfinished > 0 or c.is_requeued)
    order by j.id
    for no key update of j
  ),
  -- What becomes pending at once is due in the order of insertion.
  verdict as materialized (
    select l.* from locked l order by l.position
  ),
  changed as (
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
    from verdict v
    where j.id = v.id
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
    where d.id = c.job and d.is_cancelled_for_source <> (c.new_status = 'cancelled');
  end if;
end
$$;
