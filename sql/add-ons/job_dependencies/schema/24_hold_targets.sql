-- Waits until nobody holds a job, and keeps no lock of it. Where a locking query finds that
-- a row changed while it waited, it keeps the row's lock; only the end of a subtransaction
-- gives that back.
create or replace function supaqueue.wait_for_job(_job uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform from supaqueue.job j where j.id = _job for share;
  raise exception 'give back the lock' using errcode = 'SQ001';
exception
  when sqlstate 'SQ001' then null;
end
$$;

-- Makes those of the targets wait that are pending and have not started.
--
-- A target that somebody else holds (who may be starting it, or making it wait for
-- another source) is waited for with no lock of ours kept: a report that we wait for
-- at the end of our transaction may be waiting for it.
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
      -- Their status is asked for outside, or all that is pending may be read.
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
      raise exception 'give back the locks' using errcode = 'SQ001';
    exception
      when sqlstate 'SQ001' then null;
    end;

    perform supaqueue.wait_for_job(m.id)
    from (select unnest(pending) except select unnest(locked) limit 1) as m (id);
  end loop;

  update supaqueue.job j set status = 'waiting' where j.id = any (locked);
end
$$;
