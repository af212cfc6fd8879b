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
