-- A job that a person or an add-on made pending, or changed while it is, wakes its queue. The end
-- of an attempt (from in_progress) does not: whoever ends it looks for the next job.
--
-- For each row: the engine updates one job at a time, and transition tables cost it a fifth of all
-- that a report costs.
create or replace function supaqueue.after_update_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if new.status = 'pending' and old.status <> 'in_progress' then
    perform supaqueue.wake_up_after_update(new.queue, new.run_at);
  end if;
  return null;
end
$$;

create or replace trigger after_update_job_tg
after update on supaqueue.job
for each row
execute function supaqueue.after_update_job_tg_fn();
