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
for each row when (new.status = 'pending' and supaqueue.wake_up(new.queue, _run_at => new.run_at))
execute function supaqueue.dispatch_tg_fn();

drop trigger if exists after_insert_wake_up_event_tg on supaqueue.wake_up_event;
create constraint trigger after_insert_wake_up_event_tg
after insert on supaqueue.wake_up_event
deferrable initially deferred
for each row
execute function supaqueue.dispatch_tg_fn();

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
