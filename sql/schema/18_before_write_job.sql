-- Checks a job that is inserted or updated, and sets what follows from its status.
--
-- A finished job that becomes pending or waiting again gets all its attempts back, and
-- is due from then on. A job whose call is in progress can be cancelled, but not be set
-- to pending: such a row is left as it is, with a warning, so that a statement over many
-- jobs does what it can. So is a job whose key another one holds by now. See hold_key.
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
  elsif new.attempts not between 0 and 1000000 then
    perform supaqueue.refuse_job('attempts_are_between_0_and_1000000', 'its attempts are not between 0 and 1000000');
  elsif jsonb_typeof(new.errors) <> 'array' then
    perform supaqueue.refuse_job('errors_are_a_list', 'its errors are not a list');
  end if;
  if tg_op = 'INSERT' then
    if new.status = 'in_progress' then
      -- A job from elsewhere has no call here.
      new.status := 'pending';
    elsif new.status in ('successful', 'failed', 'cancelled') then
      new.finished_at := coalesce(new.finished_at, clock_timestamp());
      new.ended_as := new.status;
      if new.status = 'failed' then
        new.error_group := supaqueue.error_group_of(new.errors);
      end if;
    end if;
    if current_setting('request.headers', true) like '%"traceparent"%' then
      new.headers := supaqueue.with_traceparent(new.headers, current_setting('request.headers', true));
    end if;
    if new.key is not null or new.key_held_until is not null then
      return supaqueue.hold_key(new);
    end if;
    return new;
  end if;
  new.updated_at := clock_timestamp();
  if new.key is distinct from old.key then
    new := supaqueue.hold_key(new);
  end if;
  if new.status = old.status then
    return new;
  end if;
  if new.status in ('pending', 'waiting') then
    if supaqueue.has_call(new.id) then
      raise warning 'did not set job % to %: its call has not ended yet', new.id, new.status
        using hint = 'Set it to cancelled, or try again when supaqueue.current_job has no row for it.';
      return null;
    end if;
    if old.status in ('successful', 'failed', 'cancelled') then
      if new.key_held_until is not null then
        new.key_held_until := 'infinity';
      elsif new.key is not null and supaqueue.is_key_held(new) then
        return null;
      end if;
      new.attempts := 0;
      new.finished_at := null;
      new.ended_as := null;
      new.error_group := null;
    end if;
    if old.status <> 'in_progress' and new.status = 'pending' then
      new.run_at := greatest(new.run_at, clock_timestamp());
    end if;
    if new.key_held = 'pending' and old.status = 'in_progress' then
      new := supaqueue.give_way(new);
    end if;
  elsif new.status <> 'in_progress' then
    new.finished_at := coalesce(new.finished_at, clock_timestamp());
    new.ended_as := new.status;
    if new.key_held_until is not null then
      new.key_held_until := supaqueue.key_held_until(new);
    end if;
  elsif new.key_held = 'pending' then
    new.key_held_until := null;
  end if;
  if new.ended_as is not null and old.ended_as is null then
    if new.status = 'failed' then
      new.error_group := supaqueue.error_group_of(new.errors);
    end if;
    perform supaqueue.note_end(new.id, new.queue, new.status);
  end if;
  return new;
end
$$;

create or replace function supaqueue.has_call(_job uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (select from supaqueue.current_job c where c.job = _job);
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
