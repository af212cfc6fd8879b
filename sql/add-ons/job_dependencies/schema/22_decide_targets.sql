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
