-- Locks jobs against a change of their status, without waiting. Returns null if all are locked, else
-- a job that another transaction holds (or any of them, if that is not known).
--
-- The lock timeout is there because even "skip locked" can block, see the core's due_jobs.
create or replace function supaqueue.try_lock_jobs(jobs uuid[])
returns uuid
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  me xid8 := pg_current_xact_id();
  locked uuid[];
begin
  -- A job that this transaction wrote is locked already.
  locked := array(
    select l.id
    from (select distinct unnest(jobs) as id order by id) c
    cross join lateral (
      select j.id from supaqueue.job j where j.id = c.id and j.xmin <> me::xid for share skip locked
    ) l
  );
  return (
    select h.id
    from (
      select j.id from supaqueue.job j where j.id = any (jobs) and j.xmin <> me::xid
      except
      select unnest(locked)
    ) h
    limit 1
  );
exception
  when lock_not_available then
    return jobs[1];
end
$$;
