-- Sets those targets to waiting that are pending and have not started.
--
-- Another transaction may hold a target, to start it or to make it wait for another source. We wait
-- for that transaction without keeping a lock: a report on which we block later, at our commit, may
-- need the target.
create or replace function supaqueue.hold_targets(_targets uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  pending uuid[];
  locked uuid[];
begin
  loop
    begin
      -- The status is filtered outside: inside, Postgres might scan all pending jobs.
      pending := array(
        select t.id
        from (
          select j.id, j.status, j.attempts from supaqueue.job j where j.id = any (_targets) offset 0
        ) t
        where t.status = 'pending' and t.attempts = 0
      );
      locked := array(
        select l.id
        from (
          select j.id, j.status, j.attempts from supaqueue.job j
          where j.id = any (pending) offset 0
          for no key update skip locked
        ) l
        where l.status = 'pending' and l.attempts = 0
      );
      exit when cardinality(locked) = cardinality(pending);
      raise exception 'release the locks' using errcode = 'SQ001';
    exception
      when sqlstate 'SQ001' then null;
    end;

    perform supaqueue.wait_for_job_lock(m.id)
    from (select unnest(pending) except select unnest(locked) limit 1) as m (id);
  end loop;

  update supaqueue.job j set status = 'waiting' where j.id = any (locked);
end
$$;
