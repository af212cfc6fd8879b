-- Settles the job of a call that ended: successful, pending again for a retry,
-- or failed. A job that was cancelled meanwhile stays cancelled. Its current job
-- must be gone by then.
--
-- _report: http_status, duration_ms, result, error {message, body},
-- retry_after_ms, is_final, is_attempt. See public.end_current_job.
--
-- A report comes from outside, and nothing in it may keep its job from being settled: what is
-- no number, or none that the column holds, is left aside.
--
-- Whether the job is still in progress is asked of the row that the update finds:
-- who cancels it may commit after it was looked at.
create or replace function supaqueue.settle_job(_job uuid, _is_successful boolean, _report jsonb)
returns void
language plpgsql
set search_path = ''
as $$
declare
  job record;
  _status text;
  _http_status integer := jsonb_path_query_first(_report, '$.http_status ? (@ >= 0 && @ <= 2147483647)')::integer;
  _duration_ms integer := jsonb_path_query_first(_report, '$.duration_ms ? (@ >= 0 && @ <= 2147483647)')::integer;
  is_given_back boolean := coalesce(_report -> 'is_attempt' = 'false', false);
  error jsonb;
begin
  if _is_successful then
    update supaqueue.job j
    set status = case j.status when 'in_progress' then 'successful' else j.status end,
      http_status = _http_status, duration_ms = _duration_ms, result = _report -> 'result'
    where j.id = _job;
    return;
  end if;

  select
    j.attempts, coalesce(j.max_attempts, q.max_attempts) as max_attempts,
    q.final_statuses, q.backoff_base_ms, q.backoff_max_ms, s.max_retry_after_ms, s.max_errors
  into job
  from supaqueue.job j
  join supaqueue.queue q on q.id = j.queue
  cross join supaqueue.setting s
  where j.id = _job;
  if not found then
    return;
  end if;

  _status := case
    when is_given_back then 'pending'
    when _report -> 'is_final' = 'true' or _http_status = any (job.final_statuses) then 'failed'
    when job.attempts >= job.max_attempts then 'failed'
    else 'pending'
  end;

  error := jsonb_strip_nulls(jsonb_build_object(
    'attempt', job.attempts,
    'at', clock_timestamp(),
    'status', _http_status,
    'message', coalesce(_report #>> '{error,message}', 'the call was reported as failed, without a reason'),
    'body', _report #> '{error,body}'
  ));
  update supaqueue.job j
  set status = case j.status when 'in_progress' then _status else j.status end,
    attempts = case when is_given_back then greatest(j.attempts - 1, 0) else j.attempts end,
    run_at = case
      when j.status = 'in_progress' and _status = 'pending' then clock_timestamp() + supaqueue.ms(greatest(
        supaqueue.backoff_ms(job.attempts, job.backoff_base_ms, job.backoff_max_ms),
        least(coalesce(jsonb_path_query_first(_report, '$.retry_after_ms ? (@ >= 0)')::numeric, 0), job.max_retry_after_ms)))
      else j.run_at
    end,
    http_status = coalesce(_http_status, j.http_status),
    duration_ms = coalesce(_duration_ms, j.duration_ms),
    errors = supaqueue.last_entries(j.errors || error, job.max_errors)
  where j.id = _job;
end
$$;
