-- Locks jobs against a change of their status, but waits for none. Returns one that somebody
-- holds (any, where that is not known), or null where all are locked.
--
-- "skip locked" can wait all the same, see the core's due_jobs: so not for long.
create or replace function supaqueue.lock_jobs_at_once(jobs uuid[])
returns uuid
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  me xid8 := pg_current_xact_id();
  locked uuid[];
begin
  -- A job that this transaction wrote is its own already.
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

-- Locks what the counting of dependencies needs: their jobs, which keep their status from here
-- to the end of the transaction, and the counts. A source that is just ending is waited for and
-- seen.
--
-- The order of locks is that of a report: jobs that are or were under way, counts, then jobs
-- that wait. One that stops waiting between the first and the last may be under way by then,
-- and its report may wait for the counts: so the last are not waited for with the counts
-- locked, but all is given back, and begun again when whoever holds such a job has ended.
create or replace function supaqueue.lock_for_counting(sources uuid[], targets uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  me xid8 := pg_current_xact_id();
  waiting_sources uuid[];
  reached uuid[];
  held uuid;
begin
  loop
    begin
      -- Targets too: one that has started is refused later, but its report may be under way.
      perform
      from (select distinct unnest(sources || targets) as id order by id) c
      cross join lateral (
        select from supaqueue.job j where j.id = c.id and j.status <> 'waiting' and j.xmin <> me::xid for share
      ) j;

      -- "do update" would lock those that are there already, before others with lower ids.
      insert into supaqueue.dependent_job (id, position)
      select j.id, j.position
      from (select distinct unnest(targets) as id order by id) c
      cross join lateral (select t.id, t.position from supaqueue.job t where t.id = c.id offset 0) j
      on conflict (id) do nothing;
      waiting_sources := array(
        select s.id
        -- Without "offset 0" the index of all waiting jobs may be read instead.
        from (select j.id, j.status from supaqueue.job j where j.id = any (sources) offset 0) s
        where s.status = 'waiting'
      );
      reached := '{}';
      if exists (select from supaqueue.job j where j.id = any (sources) and j.status in ('failed', 'cancelled')) then
        reached := supaqueue.failure_reaches(targets);
      end if;
      perform supaqueue.lock_dependents(targets || waiting_sources || reached, '{}', false);

      held := supaqueue.lock_jobs_at_once(sources || targets);
      exit when held is null;
      raise exception 'give back the locks' using errcode = 'SQ001';
    exception
      when sqlstate 'SQ001' then null;
    end;
    perform supaqueue.wait_for_job(held);
  end loop;
end
$$;
