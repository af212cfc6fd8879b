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
