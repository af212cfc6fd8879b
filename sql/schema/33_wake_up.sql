-- Queues that a transaction made startable are dispatched once, at its end.
--
-- A deferred trigger can only be one per row; so the first row of a transaction
-- queues the event, and the rows after it only add their queue to the list that
-- the event will find. The list is a setting local to the transaction: a
-- savepoint rolled back takes list and event along.

-- Adds a queue to the list. True when the transaction has no event yet.
-- has_usable_worker: not only a job is new, but a worker can be used that could not before.
create or replace function supaqueue.wake_up(_queue uuid, has_usable_worker boolean default false)
returns boolean
language plpgsql
security definer
set search_path = ''
as $$
declare
  queues text := coalesce(current_setting('supaqueue.queues_to_dispatch', true), '');
begin
  if position(_queue::text in queues) = 0 then
    perform set_config('supaqueue.queues_to_dispatch', queues || _queue || ' ', true);
  end if;
  if has_usable_worker then
    perform set_config('supaqueue.has_usable_workers', 'on', true);
  end if;
  return queues = '';
end
$$;

-- Notes that the transaction made a job pending that is due since some time
-- before the transaction: hints past that time are dropped when it ends.
create or replace function supaqueue.note_run_at(_run_at timestamptz)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  if _run_at < coalesce(supaqueue.earliest_run_at(), now()) then
    perform set_config('supaqueue.earliest_run_at', _run_at::text, true);
  end if;
end
$$;

create or replace function supaqueue.earliest_run_at()
returns timestamptz
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return nullif(current_setting('supaqueue.earliest_run_at', true), '')::timestamptz;
end
$$;

-- Returns the list and empties it.
create or replace function supaqueue.take_wake_ups(out queues uuid[], out has_usable_workers boolean)
language plpgsql
security definer
set search_path = ''
as $$
declare
  list text := coalesce(current_setting('supaqueue.queues_to_dispatch', true), '');
begin
  has_usable_workers := coalesce(current_setting('supaqueue.has_usable_workers', true), '') = 'on';
  if list = '' then
    queues := '{}';
    return;
  end if;
  perform set_config('supaqueue.queues_to_dispatch', '', true);
  perform set_config('supaqueue.has_usable_workers', '', true);
  queues := array(select q.id from supaqueue.queue q where q.id::text = any (string_to_array(list, ' ')));
end
$$;

create or replace function supaqueue.dispatch_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform supaqueue.dispatch(w.queues, w.has_usable_workers) from supaqueue.take_wake_ups() w;
  return null;
end
$$;

drop trigger if exists after_insert_job_tg on supaqueue.job;
create constraint trigger after_insert_job_tg
after insert on supaqueue.job
deferrable initially deferred
for each row when (new.status = 'pending' and supaqueue.wake_up(new.queue))
execute function supaqueue.dispatch_tg_fn();

-- For updates of jobs, which after_update_job_tg looks at: the event of such a transaction is that
-- of a row here, which is gone at once. The condition of a trigger on the job table would be read
-- from its text by each report twice, which was 7 % of what a report costs.
--
-- Unlogged: there is nothing to keep, and a publication of all tables has no part in it. It would
-- refuse to let a row go from a table without a key.
create unlogged table if not exists supaqueue.wake_up_event (
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
comment on table supaqueue.wake_up_event is 'Always empty: Supaqueue has a transaction end with a dispatch by writing and deleting a row here';

drop trigger if exists after_insert_wake_up_event_tg on supaqueue.wake_up_event;
create constraint trigger after_insert_wake_up_event_tg
after insert on supaqueue.wake_up_event
deferrable initially deferred
for each row
execute function supaqueue.dispatch_tg_fn();

create or replace function supaqueue.wake_up_after_update(_queue uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  event tid;
begin
  if supaqueue.wake_up(_queue) then
    insert into supaqueue.wake_up_event as e default values returning e.ctid into event;
    -- By its place: to search the table would set serializable transactions against each other.
    delete from supaqueue.wake_up_event e where e.ctid = event;
  end if;
end
$$;

drop trigger if exists after_insert_worker_tg on supaqueue.worker;
create constraint trigger after_insert_worker_tg
after insert on supaqueue.worker
deferrable initially deferred
for each row when (supaqueue.wake_up(new.queue, has_usable_worker => true))
execute function supaqueue.dispatch_tg_fn();

drop trigger if exists after_update_worker_tg on supaqueue.worker;
create constraint trigger after_update_worker_tg
after update of queue on supaqueue.worker
deferrable initially deferred
for each row when (new.queue <> old.queue and supaqueue.wake_up(new.queue, has_usable_worker => true))
execute function supaqueue.dispatch_tg_fn();

-- A free worker takes over the call that a worker leaves behind.
drop trigger if exists after_delete_worker_tg on supaqueue.worker;
create constraint trigger after_delete_worker_tg
after delete on supaqueue.worker
deferrable initially deferred
for each row when (old.locked and supaqueue.wake_up(old.queue, has_usable_worker => true))
execute function supaqueue.dispatch_tg_fn();

drop trigger if exists after_move_worker_tg on supaqueue.worker;
create constraint trigger after_move_worker_tg
after update of queue on supaqueue.worker
deferrable initially deferred
for each row when (new.queue <> old.queue and old.locked and supaqueue.wake_up(old.queue, has_usable_worker => true))
execute function supaqueue.dispatch_tg_fn();

drop trigger if exists after_update_queue_tg on supaqueue.queue;
create constraint trigger after_update_queue_tg
after update on supaqueue.queue
deferrable initially deferred
for each row when (old.is_paused and not new.is_paused and supaqueue.wake_up(new.id, has_usable_worker => true))
execute function supaqueue.dispatch_tg_fn();
