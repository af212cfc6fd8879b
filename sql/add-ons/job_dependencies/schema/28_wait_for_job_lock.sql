-- Waits until no other transaction holds a lock of a job or propagates its changes, and keeps no lock
-- itself. A locking query would keep the lock even of a row that changed while it waited and does not match
-- any more; only rolling back a subtransaction releases it.
create or replace function supaqueue.wait_for_job_lock(_job uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform from supaqueue.propagation p where p.source = _job for share;
  perform from supaqueue.job j where j.id = _job for share;
  raise exception 'release the lock' using errcode = 'SQ001';
exception
  when sqlstate 'SQ001' then null;
end
$$;
