-- What happens to a call whose worker, job or queue is deleted under it.
--
-- A call without its worker ends normally, and nothing follows it; one without
-- its job keeps its worker until it ends. Rows that a report holds just now are
-- left to it: it finds out itself, and waiting for it here could be a deadlock.

create or replace function supaqueue.forget_worker_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update supaqueue.current_job c
  set worker = null
  where c.id = any (array(
    select l.id from supaqueue.current_job l where l.worker = old.id for no key update skip locked
  ));
  return null;
end
$$;

drop trigger if exists after_delete_worker_tg on supaqueue.worker;
create constraint trigger after_delete_worker_tg
after delete on supaqueue.worker
deferrable initially deferred
for each row when (old.locked)
execute function supaqueue.forget_worker_tg_fn();

create or replace function supaqueue.forget_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  update supaqueue.current_job c
  set job = null
  where c.id = any (array(
    select l.id from supaqueue.current_job l where l.job = old.id for no key update skip locked
  ));
  return null;
end
$$;

-- A call does not outlive its job's end by more than its lease: jobs that retention deletes have none.
drop trigger if exists after_delete_job_tg on supaqueue.job;
create constraint trigger after_delete_job_tg
after delete on supaqueue.job
deferrable initially deferred
for each row when (old.finished_at is null or old.finished_at > now() - interval '2 hours')
execute function supaqueue.forget_job_tg_fn();

create or replace function supaqueue.forget_queue_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  delete from supaqueue.current_job c
  where c.id = any (array(
    select l.id from supaqueue.current_job l where l.queue = old.id for update skip locked
  ));
  return null;
end
$$;

drop trigger if exists after_delete_queue_tg on supaqueue.queue;
create constraint trigger after_delete_queue_tg
after delete on supaqueue.queue
deferrable initially deferred
for each row
execute function supaqueue.forget_queue_tg_fn();
