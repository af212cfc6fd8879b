-- What makes something startable wakes its queue, and a deferred trigger dispatches it (see wake_up).

drop trigger if exists dispatch_tg on supaqueue.ready_job;
create constraint trigger dispatch_tg
after insert on supaqueue.ready_job
deferrable initially deferred
for each row when (supaqueue.wake_up(new.queue, new.priority, new.run_at))
execute function supaqueue.dispatch_tg_fn();

-- For workers and queues, in two steps: the condition of a trigger is evaluated as the user, who
-- may not execute wake_up.
create or replace function supaqueue.wake_up_worker_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op <> 'INSERT' and old.locked then
    -- A free worker takes over the call that this one leaves behind.
    insert into supaqueue.deleted_worker (queue, worker) values (old.queue, old.id) on conflict do nothing;
    perform supaqueue.wake_up(old.queue, null, null);
  end if;
  if tg_op <> 'DELETE' then
    perform supaqueue.wake_up(new.queue, null, null);
  end if;
  return null;
end
$$;

create or replace trigger wake_up_tg
after insert or delete or update of queue on supaqueue.worker
for each row
execute function supaqueue.wake_up_worker_tg_fn();

drop trigger if exists dispatch_tg on supaqueue.worker;
create constraint trigger dispatch_tg
after insert or delete or update of queue on supaqueue.worker
deferrable initially deferred
for each row
execute function supaqueue.dispatch_tg_fn();

create or replace function supaqueue.wake_up_queue_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform supaqueue.wake_up(new.id, null, null);
  return null;
end
$$;

create or replace trigger wake_up_tg
after update on supaqueue.queue
for each row when (old.is_paused and not new.is_paused)
execute function supaqueue.wake_up_queue_tg_fn();

drop trigger if exists dispatch_tg on supaqueue.queue;
create constraint trigger dispatch_tg
after update on supaqueue.queue
deferrable initially deferred
for each row when (old.is_paused and not new.is_paused)
execute function supaqueue.dispatch_tg_fn();
