-- Locks those targets that are pending and have not started, and returns them.
--
-- Another transaction may hold one, to start it or to make it wait for another source. We wait for that
-- transaction without keeping a lock: a report on which we block later, at our commit, may need the job.
create or replace function supaqueue.lock_pending_jobs(_jobs uuid[])
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  pending uuid[];
  locked uuid[];
begin
  loop
    begin
      pending := array(
        select j.id from supaqueue.job j
        where j.id = any (_jobs) and j.status = 'pending' and j.attempts = 0
          and exists (select from supaqueue.job_dependencies e where e.target = j.id order by e.source offset 0)
      );
      locked := array(
        select j.id from supaqueue.job j
        where j.id = any (pending) and j.status = 'pending' and j.attempts = 0
        for no key update skip locked
      );
      if cardinality(locked) = cardinality(pending) then
        return locked;
      end if;
      raise exception 'release the locks' using errcode = 'SQ001';
    exception
      when sqlstate 'SQ001' then null;
    end;
    perform supaqueue.wait_for_job_lock(m.id)
    from (select unnest(pending) except select unnest(locked) limit 1) as m (id);
  end loop;
end
$$;

-- Sets those targets to waiting that are pending and have not started. Planned each time, see update_targets.
create or replace function supaqueue.hold_jobs(_jobs uuid[])
returns void
language plpgsql
set search_path = public, extensions
as $$
declare
  places tid[] := supaqueue.places_of(supaqueue.lock_pending_jobs(_jobs));
begin
  if places <> '{}' then
    execute 'update supaqueue.job j set status = ''waiting'' where j.ctid = any ($1)' using places;
  end if;
end
$$;

create or replace function supaqueue.places_of(_jobs uuid[])
returns tid[]
language plpgsql
stable
set search_path = ''
as $$
begin
  return array(select j.ctid from supaqueue.job j where j.id = any (_jobs));
end
$$;
