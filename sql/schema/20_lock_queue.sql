-- The lock of a queue, until the end of the transaction.
--
-- Who looks for free workers takes it shared; who is about to free a worker
-- takes it exclusively and looks for a job once more before freeing. So an
-- insert and a last report that end at the same moment see each other: one
-- waits, and what the other did is committed when it looks. Who needs several
-- queues takes them in the order of their ids.
create or replace function supaqueue.lock_queue_shared(_queue uuid)
returns void
language sql
security definer
set search_path = ''
as $$
  select pg_advisory_xact_lock_shared(hashtextextended('supaqueue.queue:' || _queue, 0))
$$;

create or replace function supaqueue.lock_queue_exclusive(_queue uuid)
returns void
language sql
security definer
set search_path = ''
as $$
  select pg_advisory_xact_lock(hashtextextended('supaqueue.queue:' || _queue, 0))
$$;
