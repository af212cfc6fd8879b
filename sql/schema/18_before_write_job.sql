-- Keeps a job whole, when it is inserted and when its status changes. While its call
-- is under way it can be cancelled (the report then leaves it so) but not started
-- again. One that had finished and goes back to pending or waiting has all its
-- attempts again, and one that becomes pending is due from then on, behind those that
-- were so before.
create or replace function supaqueue.before_write_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if new.status not in ('pending', 'waiting', 'in_progress', 'successful', 'failed', 'cancelled') then
    perform supaqueue.refuse_job('status_is_known', format(
      'its status is %s, not pending, waiting, in_progress, successful, failed or cancelled', new.status));
  elsif new.attempts < 0 then
    perform supaqueue.refuse_job('attempts_is_not_negative', 'its attempts are less than 0');
  elsif jsonb_typeof(new.errors) <> 'array' then
    perform supaqueue.refuse_job('errors_are_a_list', 'its errors are not a list');
  end if;
  if tg_op = 'INSERT' then
    if new.status in ('successful', 'failed', 'cancelled') then
      -- One that is brought from elsewhere: counted and kept like any other.
      new.finished_at := coalesce(new.finished_at, clock_timestamp());
    end if;
    return new;
  end if;
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

create or replace trigger before_insert_job_tg
before insert on supaqueue.job
for each row
execute function supaqueue.before_write_job_tg_fn();

create or replace trigger before_update_job_tg
before update on supaqueue.job
for each row
execute function supaqueue.before_write_job_tg_fn();
