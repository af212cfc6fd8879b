-- Keeps a job whole when its status changes. While its call is under way it can
-- be cancelled (the report then leaves it so) but not started again. One that had
-- finished and goes back to pending or waiting has all its attempts again, and one
-- that becomes pending is due from then on, behind those that were so before.
create or replace function supaqueue.before_update_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  new.updated_at := clock_timestamp();
  if new.status = old.status then
    return new;
  end if;
  if new.status in ('pending', 'waiting') then
    if exists (select from supaqueue.current_job c where c.job = new.id) then
      raise exception 'cannot set job % to %: its call has not ended yet', new.id, new.status
        using errcode = 'object_in_use',
          hint = 'Set it to cancelled, or try again when supaqueue.current_job has no row for it.';
    end if;
    if old.status in ('successful', 'failed', 'cancelled') then
      new.attempts := 0;
      new.finished_at := null;
    end if;
    if old.status <> 'in_progress' and new.status = 'pending' then
      new.run_at := greatest(new.run_at, clock_timestamp());
    end if;
  elsif new.status <> 'in_progress' then
    new.finished_at := coalesce(new.finished_at, clock_timestamp());
  end if;
  return new;
end
$$;

create or replace trigger before_update_job_tg
before update on supaqueue.job
for each row
execute function supaqueue.before_update_job_tg_fn();
