-- Locks queues until the end of the transaction, in the order of their ids.
--
-- Whoever makes a job ready takes the lock shared, and then looks for a free worker. Whoever
-- makes a worker usable (frees it, adds it, ends a pause) takes it exclusively, and then looks
-- for a job. So an insert and a report that end at the same moment see each other: one of
-- them waits, and sees what the other committed.
--
-- No user's commit waits for others for long: it gives up (55P03), and the tick does its work.
create or replace function supaqueue.lock_queues(_shared uuid[], _exclusive uuid[])
returns void
language plpgsql
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  _queue uuid;
  key bigint;
begin
  for _queue in select distinct unnest(_shared || _exclusive) order by 1 loop
    key := hashtextextended('supaqueue.queue:' || _queue, 0);
    if _queue = any (_exclusive) then
      perform pg_advisory_xact_lock(key);
    else
      perform pg_advisory_xact_lock_shared(key);
    end if;
  end loop;
end
$$;
