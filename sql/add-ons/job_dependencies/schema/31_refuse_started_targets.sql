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
