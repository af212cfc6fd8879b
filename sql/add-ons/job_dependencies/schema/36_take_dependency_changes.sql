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
