-- Locks a job, and returns a cursor on it (null if it is gone) and its own timeout. An update "where
-- current of" it never searches, whatever its plan was made for, and so needs no settings that users'
-- triggers would see.
create or replace function supaqueue.lock_job(_job uuid, out place refcursor, out timeout_ms integer)
language plpgsql
set search_path = ''
as $$
begin
  open place for select j.timeout_ms from supaqueue.job j where j.id = _job for no key update;
  fetch next from place into timeout_ms;
  if not found then
    close place;
    place := null;
  end if;
end
$$;

-- Settles the job of a call that ended: successful, pending again for a retry, or failed.
-- A job that was cancelled meanwhile stays cancelled. Its current job must be gone by then.
--
-- _report: http_status, duration_ms, result, error {message, body},
-- retry_after_ms, is_final, is_attempt. See public.end_current_job. It comes from outside, and
-- nothing in it may keep the job from being settled: values that are not numbers, or that the
-- column cannot hold, are ignored.
create or replace function supaqueue.settle_job(_job uuid, _is_successful boolean, _report jsonb)
returns void
language plpgsql
set search_path = public, extensions
as $$
declare
  place refcursor := (supaqueue.lock_job(_job)).place;
  job record;
  _status text;
  _http_status integer := jsonb_path_query_first(_report, '$.http_status ? (@ >= 0 && @ <= 2147483647)')::integer;
  _duration_ms integer := jsonb_path_query_first(_report, '$.duration_ms ? (@ >= 0 && @ <= 2147483647)')::integer;
  is_given_back boolean;
begin
  if place is null then
    return;
  elsif _is_successful then
    update supaqueue.job j
    set status = case j.status when 'in_progress' then 'successful' else j.status end,
      http_status = _http_status, duration_ms = _duration_ms, result = _report -> 'result'
    where current of place;
    if not found then
      perform supaqueue.refuse_skipped_update();
    end if;
    close place;
    return;
  end if;

  job := supaqueue.limits_of(_job);
  is_given_back := coalesce(_report -> 'is_attempt' = 'false', false);
  _status := case
    when is_given_back then 'pending'
    when _report -> 'is_final' = 'true' or _http_status = any (job.final_statuses) then 'failed'
    when job.attempts >= job.max_attempts then 'failed'
    else 'pending'
  end;
  update supaqueue.job j
  set status = case j.status when 'in_progress' then _status else j.status end,
    attempts = case when is_given_back then greatest(j.attempts - 1, 0) else j.attempts end,
    run_at = case
      when j.status = 'in_progress' and _status = 'pending' then clock_timestamp() + supaqueue.ms(greatest(
        supaqueue.backoff_ms(job.attempts, job.backoff_base_ms, job.backoff_max_ms),
        least(coalesce(jsonb_path_query_first(_report, '$.retry_after_ms ? (@ >= 0)')::numeric, 0), (supaqueue.settings()).max_retry_after_ms)))
      else j.run_at
    end,
    http_status = coalesce(_http_status, j.http_status),
    duration_ms = coalesce(_duration_ms, j.duration_ms),
    errors = supaqueue.add_error(
      j.errors, job.attempts, coalesce(_report #>> '{error,message}', 'the call was reported as failed, without a reason'),
      _http_status, _report #> '{error,body}')
  where current of place;
  if not found then
    perform supaqueue.refuse_skipped_update();
  end if;
  close place;
end
$$;

-- A trigger that returns null skips an update in silence, and would leave a job without its call.
create or replace function supaqueue.refuse_skipped_update()
returns void
language plpgsql
set search_path = ''
as $$
begin
  raise exception 'a trigger on supaqueue.job skipped the update (its function returned null)';
end
$$;

create or replace function supaqueue.limits_of(
  _job uuid, out attempts integer, out max_attempts integer,
  out final_statuses integer[], out backoff_base_ms integer, out backoff_max_ms integer
)
language plpgsql
set search_path = ''
as $$
begin
  select j.attempts, coalesce(j.max_attempts, q.max_attempts), q.final_statuses, q.backoff_base_ms, q.backoff_max_ms
  into attempts, max_attempts, final_statuses, backoff_base_ms, backoff_max_ms
  from supaqueue.job j
  join supaqueue.queue q on q.id = j.queue
  where j.id = _job;
end
$$;

-- Settles a job; if that fails, notes what was reported, so that the tick settles it later. An error
-- that may pass by itself is raised if the caller can be repeated.
create or replace function supaqueue.settle_or_note(
  _job uuid, _queue uuid, _is_successful boolean, _report jsonb, can_be_repeated boolean default false
)
returns void
language plpgsql
set search_path = ''
as $$
begin
  perform supaqueue.settle_job(_job, _is_successful, _report);
exception
  when others then
    if can_be_repeated and sqlstate ~ '^(40|53|55|57|58)' then
      raise;
    end if;
    perform supaqueue.note_unfinished('settle', _queue, _job, sqlstate, sqlerrm,
      jsonb_build_object('is_successful', _is_successful, 'report', _report));
end
$$;
