-- Locks a job, and returns a cursor on it (null if it is gone) and what a call of it depends on. An update "where
-- current of" it never searches, whatever its plan was made for, and so needs no settings that users'
-- triggers would see.
create or replace function supaqueue.lock_job(_job uuid, out place refcursor, out status text, out timeout_ms integer, out stored_bytes integer, out unstarted integer)
language plpgsql
set search_path = ''
as $$
begin
  open place for
    select j.status, j.timeout_ms, case when pg_column_compression(j.payload) is null then pg_column_size(j.payload) end, j.unstarted
    from supaqueue.job j where j.id = _job for no key update;
  fetch next from place into status, timeout_ms, stored_bytes, unstarted;
  if not found then
    close place;
    place := null;
  end if;
end
$$;

-- Settles the job of a call that ended: successful, pending again for a retry, or failed. A job
-- that is not in progress any more (cancelled, settled by hand) stays as it is.
--
-- _report: http_status, duration_ms, result, error {message, body}, retry_after_ms, is_final,
-- is_attempt, problem. See public.end_current_job. Of our own: is_due, there is no wait; is_unstarted, see the
-- column unstarted. It comes from outside, and nothing in it may keep the job from being settled: values that are not
-- numbers, or that the column cannot hold, are ignored.
create or replace function supaqueue.settle_job(_job uuid, _is_successful boolean, _report jsonb)
returns void
language plpgsql
set search_path = public, extensions
as $$
declare
  locked record := supaqueue.lock_job(_job);
  place refcursor := locked.place;
  job record;
  _status text;
  _http_status integer := jsonb_path_query_first(_report, '$.http_status ? (@ >= 0 && @ <= 2147483647)')::integer;
  _duration_ms integer := jsonb_path_query_first(_report, '$.duration_ms ? (@ >= 0 && @ <= 2147483647)')::integer;
  _retry_after_ms numeric := coalesce(jsonb_path_query_first(_report, '$.retry_after_ms ? (@ >= 0)')::numeric, 0);
  is_given_back boolean;
  has_problem boolean;
begin
  if place is null then
    return;
  elsif locked.status <> 'in_progress' then
    close place;
    return;
  elsif _is_successful then
    update supaqueue.job j
    set status = 'successful', http_status = _http_status, duration_ms = _duration_ms, result = _report -> 'result'
    where current of place;
    if not found then
      perform supaqueue.refuse_skipped_update();
    end if;
    close place;
    return;
  end if;

  job := supaqueue.limits_of(_job);
  is_given_back := coalesce(_report -> 'is_attempt' = 'false', false);
  has_problem := is_given_back and _report ->> 'problem' is not null;
  _status := case
    when is_given_back then 'pending'
    when _report -> 'is_final' = 'true' or _http_status = any (job.final_statuses) then 'failed'
    when job.attempts >= job.max_attempts then 'failed'
    else 'pending'
  end;
  if _status = 'pending' and supaqueue.has_call(_job) then
    raise exception 'the run that makes its call has not let go of it yet' using errcode = 'lock_not_available';
  elsif has_problem then
    _retry_after_ms := supaqueue.note_problem(_job, job.queue, _report ->> 'problem');
  elsif not is_given_back then
    perform supaqueue.note_done('call', job.queue, _job);
  end if;
  update supaqueue.job j
  set status = _status,
    attempts = case when is_given_back then greatest(j.attempts - 1, 0) else j.attempts end,
    unstarted = case when _report -> 'is_unstarted' = 'true' then j.unstarted + 1 else j.unstarted end,
    run_at = case
      when _status <> 'pending' then j.run_at
      when _report -> 'is_due' = 'true' then case when is_given_back then j.run_at else clock_timestamp() end
      when has_problem then clock_timestamp() + supaqueue.ms(_retry_after_ms)
      else clock_timestamp() + supaqueue.ms(greatest(
        supaqueue.backoff_ms(job.attempts, job.backoff_base_ms, job.backoff_max_ms),
        least(_retry_after_ms, (supaqueue.settings()).max_retry_after_ms)))
    end,
    http_status = coalesce(_http_status, j.http_status),
    duration_ms = coalesce(_duration_ms, j.duration_ms),
    errors = case
      when has_problem or is_given_back and _report -> 'error' is null then j.errors
      else supaqueue.add_error(
        j.errors, job.attempts, coalesce(_report #>> '{error,message}', 'the call was reported as failed, without a reason'),
        _http_status, _report #> '{error,body}')
    end
  where current of place;
  if not found then
    perform supaqueue.refuse_skipped_update();
  end if;
  close place;
end
$$;

-- Notes why the target of a job cannot be called as things are, and returns the pause until it is tried
-- again, in milliseconds. The note goes when the target was called.
create or replace function supaqueue.note_problem(_job uuid, _queue uuid, _problem text)
returns double precision
language plpgsql
set search_path = ''
as $$
begin
  perform supaqueue.note_unfinished('call', _queue, _job, 'SQ100', _problem);
  return (
    select greatest(extract(epoch from max(u.retry_at) - clock_timestamp()) * 1000, 1000)
    from supaqueue.unfinished u
    where u.job = _job and u.step = 'call'
  );
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
  _job uuid, out queue uuid, out attempts integer, out max_attempts integer,
  out final_statuses integer[], out backoff_base_ms integer, out backoff_max_ms integer
)
language plpgsql
set search_path = ''
as $$
begin
  select j.queue, j.attempts, coalesce(j.max_attempts, q.max_attempts), q.final_statuses, q.backoff_base_ms, q.backoff_max_ms
  into queue, attempts, max_attempts, final_statuses, backoff_base_ms, backoff_max_ms
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
