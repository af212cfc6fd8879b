-- At most one job of a queue holds a key: the index a_key_is_held_by_one_job is the judge. A job gets
-- its key when it is inserted, or when it is set back to pending after its end, and keeps or frees
-- it with each change of its status. So nothing that Supaqueue does by itself can violate the index.

-- Until when a job with a key holds it as things are.
create or replace function supaqueue.key_held_until(job supaqueue.job)
returns timestamptz
language plpgsql
set search_path = ''
as $$
declare
  until timestamptz := case
    when job.status = 'successful' and job.key_held = 'successful' then coalesce(job.finished_at + job.key_held_for, 'infinity')
    when job.status in ('successful', 'failed', 'cancelled') then null
    when job.key_held = 'pending' and job.attempts > 0 then null
    else 'infinity'
  end;
begin
  return case when until > clock_timestamp() then until end;
end
$$;

-- Prepares a job that is inserted with a key, or gets another one. A hold that is over is
-- released: the tick may not have come to it.
create or replace function supaqueue.hold_key(job supaqueue.job)
returns supaqueue.job
language plpgsql
set search_path = ''
as $$
declare
  known record;
begin
  if job.key is null then
    job.key_held_until := null;
    return job;
  end if;
  known := supaqueue.key_state(job.queue, job.key);
  if octet_length(job.key) not between 1 and 2000 then
    perform supaqueue.refuse_job('key_is_of_1_to_2000_bytes',
      'its key is empty, or longer than 2000 bytes; use an id, or a hash of what is longer');
  elsif job.key_held is null then
    job.key_held := known.key_held;
    job.key_held_for := coalesce(job.key_held_for, known.key_held_for);
  elsif job.key_held not in ('pending', 'unfinished', 'successful') then
    perform supaqueue.refuse_job('key_held_is_pending_unfinished_or_successful',
      format('its key_held is %s, not pending, unfinished or successful', job.key_held));
  end if;
  if job.key_held_for is not null and job.key_held <> 'successful' then
    perform supaqueue.refuse_job('key_held_for_is_for_successful_jobs', 'its key_held_for needs the key_held successful');
  elsif job.key_held_for not between interval '0' and interval '1000 years' then
    perform supaqueue.refuse_job('key_held_for_is_between_0_and_1000_years', 'its key_held_for is not between 0 and 1000 years');
  end if;
  job.key_held_until := supaqueue.key_held_until(job);
  if known.until <= clock_timestamp() then
    perform supaqueue.try_release_key(known.holder);
  end if;
  return job;
end
$$;

-- How long the jobs of a queue hold their keys, and which job holds this one, until when.
create or replace function supaqueue.key_state(
  _queue uuid, _key text, out key_held text, out key_held_for interval, out holder uuid, out until timestamptz
)
language plpgsql
set search_path = ''
as $$
begin
  select q.key_held, q.key_held_for, h.id, h.key_held_until into key_held, key_held_for, holder, until
  from supaqueue.queue q
  left join supaqueue.job h on h.queue = _queue and h.key = _key and h.key_held_until is not null
  where q.id = _queue;
end
$$;

-- The job that holds a key, and until when: that may be over.
create or replace function supaqueue.holder_of(_queue uuid, _key text, out job uuid, out until timestamptz)
language plpgsql
set search_path = ''
as $$
begin
  select j.id, j.key_held_until into job, until
  from supaqueue.job j
  where j.queue = _queue and j.key = _key and j.key_held_until is not null;
end
$$;

-- Ends a hold that is over. Returns false if somebody is changing the job just now.
create or replace function supaqueue.release_key(_job uuid)
returns boolean
language plpgsql
set search_path = public, extensions
as $$
declare
  place refcursor := supaqueue.lock_expired_holder(_job);
begin
  if place is null then
    return false;
  end if;
  update supaqueue.job j set key_held_until = null where current of place;
  close place;
  return true;
end
$$;

create or replace function supaqueue.lock_expired_holder(_job uuid)
returns refcursor
language plpgsql
set search_path = ''
as $$
declare
  place refcursor;
begin
  open place for
    select from supaqueue.job j where j.id = _job and j.key_held_until <= clock_timestamp() for no key update skip locked;
  move next from place;
  return case when found then place end;
end
$$;

-- The same within a user's insert, which must not fail for it.
create or replace function supaqueue.try_release_key(_job uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform supaqueue.release_key(_job);
exception
  when others then
    null;
end
$$;

-- Whether another job holds the key of one that is set back to pending after its end. Warns then.
create or replace function supaqueue.is_key_held(job supaqueue.job)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  holder record := supaqueue.holder_of(job.queue, job.key);
begin
  if holder.until <= clock_timestamp() then
    perform supaqueue.try_release_key(holder.job);
  elsif holder.job is not null then
    perform supaqueue.warn_of_holder(job, holder.job);
    return true;
  end if;
  return false;
end
$$;

create or replace function supaqueue.warn_of_holder(job supaqueue.job, holder uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  raise warning 'did not set job % to %: its key % is held by %', job.id, job.status, quote_literal(job.key),
      coalesce('job ' || holder, 'a job that another transaction inserts just now')
    using hint = 'Try again when that job has ended, or cancel it.';
end
$$;

-- Takes the key for a job that was set back to pending after its end. If another transaction has
-- taken it since is_key_held looked, or the same statement has, the job is left as it was before.
create or replace function supaqueue.take_key_again(job supaqueue.job, before supaqueue.job)
returns void
language plpgsql
set search_path = public, extensions
as $$
declare
  place refcursor := (supaqueue.lock_job(job.id)).place;
  violated text;
begin
  begin
    update supaqueue.job j set key_held_until = 'infinity' where current of place;
  exception
    when unique_violation then
      get stacked diagnostics violated = constraint_name;
      if violated <> 'a_key_is_held_by_one_job' then
        raise;
      end if;
      perform set_config('supaqueue.is_restored', 'on', true);
      update supaqueue.job j
      set status = before.status, attempts = before.attempts, run_at = before.run_at, finished_at = before.finished_at
      where current of place;
      perform set_config('supaqueue.is_restored', '', true);
      perform supaqueue.warn_of_holder(job, (supaqueue.holder_of(job.queue, job.key)).job);
  end;
  close place;
end
$$;

create or replace function supaqueue.take_key_again_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform supaqueue.take_key_again(new, old);
  return null;
end
$$;

-- After place_job_tg: triggers fire in the order of their names.
create or replace trigger take_key_again_tg
after update on supaqueue.job
for each row when (new.key is not null and new.key_held_until is null and old.ended_as is not null and new.ended_as is null)
execute function supaqueue.take_key_again_tg_fn();

-- Cancels a job that goes back to pending, and freed its key when it started, if another one holds
-- the key now. If not, it stays pending without its key.
create or replace function supaqueue.give_way(job supaqueue.job)
returns supaqueue.job
language plpgsql
set search_path = ''
as $$
declare
  holder record := supaqueue.holder_of(job.queue, job.key);
begin
  if holder.until > clock_timestamp() and holder.job <> job.id then
    job.status := 'cancelled';
    job.finished_at := clock_timestamp();
    job.ended_as := 'cancelled';
    job.errors := supaqueue.add_error(job.errors, job.attempts, format(
      'superseded by job %s, which holds the key %L now', holder.job, job.key));
  end if;
  return job;
end
$$;
