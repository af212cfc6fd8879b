-- Locks queues before jobs are started in them, and returns those that are locked exclusively: those
-- of _exclusive, all if a worker became usable, and any with calls that a free worker must take over.
create or replace function supaqueue.lock_to_start(_queues uuid[], _exclusive uuid[], has_usable_workers boolean)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  exclusive uuid[] := case
    when has_usable_workers then _queues
    else _exclusive || array(select distinct d.queue from supaqueue.deleted_worker d where d.queue = any (_queues))
  end;
begin
  perform supaqueue.lock_queues(_queues, exclusive);
  perform supaqueue.lower_fronts(_queues);
  return exclusive;
end
$$;

-- Starts what can be started in queues that a transaction woke, at its end. Never fails and never
-- waits for long: what cannot be done now is left to the tick.
--
-- A repeatable read transaction does what it can with what it sees. A serializable one leaves its
-- queues to the tick: to read their state would make users' transactions fail (40001).
create or replace function supaqueue.dispatch(_queues uuid[], has_usable_workers boolean default false)
returns void
language plpgsql
set search_path = ''
as $$
begin
  if current_setting('transaction_isolation') = 'serializable' then
    perform supaqueue.note_unfinished('start', d.queue, null, null, null) from unnest(_queues) as d (queue);
    return;
  end if;
  perform supaqueue.try_start_jobs(_queues, supaqueue.lock_to_start(_queues, '{}', has_usable_workers));
exception
  when others then
    perform supaqueue.note_unfinished('start', d.queue, null, sqlstate, sqlerrm) from unnest(_queues) as d (queue);
end
$$;

create or replace function supaqueue.dispatch_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform supaqueue.dispatch(w.queues, w.has_usable_workers) from supaqueue.take_wake_ups() w where w.queues <> '{}';
  return null;
end
$$;
