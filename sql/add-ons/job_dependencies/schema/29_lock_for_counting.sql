-- Locks what counting the dependencies needs: the counts, and the jobs, whose status then stays
-- the same until the commit. It waits for a source that is just finishing, and sees the result.
--
-- The locks are taken in the order of a report: first jobs that have started, then counts, then
-- waiting jobs. A job that stops waiting in between may have started by then, and its report may
-- block on the counts. So the last step never waits with the counts locked: instead, all locks are
-- released, and taken again once the transaction that holds the job has ended.
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
      -- Targets, too: a started one is refused later, but its report may be in progress now.
      perform
      from (select distinct unnest(sources || targets) as id order by id) c
      cross join lateral (
        select from supaqueue.job j where j.id = c.id and j.status <> 'waiting' and j.xmin <> me::xid for share
      ) j;

      -- "do update" would lock existing rows before others with lower ids.
      insert into supaqueue.dependent_job (id, position)
      select j.id, j.position
      from (select distinct unnest(targets) as id order by id) c
      cross join lateral (select t.id, t.position from supaqueue.job t where t.id = c.id offset 0) j
      on conflict (id) do nothing;
      waiting_sources := array(
        select s.id
        -- Without "offset 0" the index of all waiting jobs may be scanned instead.
        from (select j.id, j.status from supaqueue.job j where j.id = any (sources) offset 0) s
        where s.status = 'waiting'
      );
      reached := '{}';
      if exists (select from supaqueue.job j where j.id = any (sources) and j.status in ('failed', 'cancelled')) then
        reached := supaqueue.targets_of_failure(targets);
      end if;
      perform supaqueue.lock_dependents(targets || waiting_sources || reached, '{}', false);

      held := supaqueue.try_lock_jobs(sources || targets);
      exit when held is null;
      raise exception 'release the locks' using errcode = 'SQ001';
    exception
      when sqlstate 'SQ001' then null;
    end;
    perform supaqueue.wait_for_job_lock(held);
  end loop;
end
$$;
