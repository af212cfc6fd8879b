-- Each living job is in one of three places: ready_job, held_job or current_job. This trigger keeps
-- the first two; whoever starts or settles a job keeps the third.
create or replace function supaqueue.place_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op <> 'INSERT' then
    if tg_op = 'UPDATE' and (new.status, new.queue, new.priority, new.run_at) = (old.status, old.queue, old.priority, old.run_at)
      -- Whoever looked for a job while enqueue changed this one passed it over: it has to be dispatched again.
      and (new.key is null or new.status <> 'pending')
    then
      return null;
    end if;
    if old.status in ('pending', 'waiting') then
      delete from supaqueue.ready_job r
      where r.queue = old.queue and r.priority = old.priority and r.run_at = old.run_at and r.position = old.position;
      if not found then
        delete from supaqueue.held_job h where h.job = old.id;
      end if;
    end if;
  end if;
  if tg_op <> 'DELETE' and new.status in ('pending', 'waiting') then
    perform supaqueue.add_place(new);
  end if;
  return null;
end
$$;

create or replace function supaqueue.add_place(job supaqueue.job)
returns void
language plpgsql
set search_path = ''
as $$
begin
  if job.status = 'pending' and job.run_at <= clock_timestamp() then
    insert into supaqueue.ready_job (queue, priority, run_at, position, job)
    values (job.queue, job.priority, job.run_at, job.position, job.id);
  else
    insert into supaqueue.held_job (job, queue, until)
    values (job.id, job.queue, case job.status when 'pending' then job.run_at else 'infinity' end);
  end if;
end
$$;

create or replace trigger place_job_tg
after insert or update or delete on supaqueue.job
for each row
execute function supaqueue.place_job_tg_fn();

create or replace function supaqueue.after_truncate_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  delete from supaqueue.ready_job r where true;
  delete from supaqueue.held_job h where true;
  return null;
end
$$;

create or replace trigger after_truncate_job_tg
after truncate on supaqueue.job
for each statement
execute function supaqueue.after_truncate_job_tg_fn();
