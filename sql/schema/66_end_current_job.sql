-- The one function that the supaqueue function calls. It lives in public
-- because PostgREST exposes that schema; only service_role may call it.
--
-- _is_complete false acknowledges ("started"), true reports. The first three
-- arguments are enough to settle a job. _report may hold:
--   lane            the caller's lane, so that an acknowledgement can be repeated
--   http_status     of the target function's answer
--   duration_ms     of the call
--   result          of a success, any JSON
--   error           of a failure: {"message": text, "body": text}
--   retry_after_ms  not to be retried earlier
--   is_final        true: failed at once
--   is_attempt      false: the target was never reached; the attempt is given back
-- _next_within_ms asks for the worker's next job, if its timeout is at most that.
--
-- Returns {"accepted", "state": "started" | "settled" | "refused", "reason", "next"}.
-- "started" comes with lease_ms: within that the call has to be reported.
-- A report can be repeated: it gets the same answer, the same next job included.
create or replace function public.end_current_job(
  cur_job_id uuid,
  _is_complete boolean,
  _is_successful boolean,
  _report jsonb default '{}',
  _next_within_ms integer default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
begin
  if cur_job_id is null or _is_complete is null or (_is_complete and _is_successful is null) then
    raise exception 'cannot end a current job: cur_job_id, _is_complete and _is_successful must not be null'
      using errcode = 'null_value_not_allowed';
  end if;
  if not _is_complete then
    return supaqueue.acknowledge(cur_job_id, _report ->> 'lane');
  end if;
  return supaqueue.report(cur_job_id, _is_successful, coalesce(_report, '{}'), _next_within_ms);
end
$$;
comment on function public.end_current_job is 'Supaqueue: acknowledges or reports a call; used by the supaqueue function, with the service role key';

-- As in the original, marking a current job complete by hand settles it too.
create or replace function supaqueue.after_update_current_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform public.end_current_job(new.id, true, coalesce(new.is_successful, false));
  return null;
end
$$;

create or replace trigger after_update_current_job_tg
after update on supaqueue.current_job
for each row when (new.is_complete and not old.is_complete)
execute function supaqueue.after_update_current_job_tg_fn();
