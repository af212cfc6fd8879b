-- Locks what counting the dependencies needs: the counts, and the jobs, whose status then stays
-- the same until the commit. It waits for a source that is just finishing, and sees the result.
--
-- The locks are taken in the order of a report: first jobs that have started, then counts, then
-- waiting jobs. A job that stops waiting in between may have started by then, and its report may
-- block on the counts. So the last step never waits with the counts locked: instead, all locks are
-- released, and taken again once the transaction that holds the job has ended.
create or replace function supaqueue.lock_for_counting(_sources uuid[], _targets uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  me xid8 := pg_current_xact_id();
  held uuid;
begin
  loop
    begin
      -- Targets, too: a started one is refused later, but its report may be in progress now.
      perform
      from (select distinct unnest(_sources || _targets) as id order by id) c
      cross join lateral (
        select from supaqueue.job j where j.id = c.id and j.status <> 'waiting' and j.xmin <> me::xid for share
      ) j;

      -- "do update" would lock existing rows before others with lower ids.
      insert into supaqueue.dependent_job (id, position)
      select j.id, j.position
      from (select distinct unnest(_targets) as id order by id) c
      cross join lateral (select t.id, t.position from supaqueue.job t where t.id = c.id offset 0) j
      on conflict (id) do nothing;
      perform
      from (
        select unnest(_targets) as id
        union
        select s.id from supaqueue.job s where s.id = any (_sources) and s.status = 'waiting'
        order by id
      ) c
      cross join lateral (select from supaqueue.dependent_job d where d.id = c.id for update) d;

      held := supaqueue.try_lock_jobs(_sources, _targets);
      exit when held is null;
      raise exception 'release the locks' using errcode = 'SQ001';
    exception
      when sqlstate 'SQ001' then null;
    end;
    perform supaqueue.wait_for_job_lock(held);
  end loop;
end
$$;
