-- Ends a call. It lives in public because PostgREST exposes that schema; only service_role may call it.
--
-- The first three arguments are enough to settle a job by hand. _is_complete false changes nothing, and
-- asks where the call stands. _report may hold:
--   run             the run that made the call; without it, the job is settled by hand
--   http_status     of the target function's answer
--   duration_ms     of the call
--   result          of a success, any JSON
--   error           of a failure: {"message": text, "body": text}
--   retry_after_ms  not to be retried earlier
--   is_final        true: failed at once
--   is_attempt      false: the target was never reached; the attempt is given back
--   problem         with is_attempt false, what keeps the target from being called, such as a missing key:
--                   it is shown by supaqueue.problem, and tried again with growing pauses
--   started         ids of calls that were held ready behind this one and that the run has begun
--   given_back      ids of those that it has not
-- _next, {"within_ms", "bytes", "prefetch"}, asks for the worker's next job, if its timeout and the size of its
-- payload are at most that; prefetch true also for a job to be held ready behind the one that runs next.
--
-- Returns {"accepted", "state": "settled" | "refused", "reason", "next", "held", "again_in_ms"}: the records of
-- the next job and of the one to hold ready, or in how many milliseconds to ask for one in a pulse (null: not at all). A report can be
-- repeated: it gets the same answer, the same next job included. "refused" means that the run is over.
create or replace function public.end_current_job(
  cur_job_id uuid,
  _is_complete boolean,
  _is_successful boolean,
  _report jsonb default '{}',
  _next jsonb default null
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  _run uuid := (_report ->> 'run')::uuid;
  call supaqueue.current_job;
begin
  if cur_job_id is null or _is_complete is null or (_is_complete and _is_successful is null) then
    raise exception 'cannot end a current job: cur_job_id, _is_complete and _is_successful must not be null'
      using errcode = 'null_value_not_allowed';
  elsif not _is_complete then
    call := supaqueue.lock_call(cur_job_id);
    if call.id is null then
      return supaqueue.answer('refused', 'this current job is unknown, was settled, or was taken back');
    end if;
    return supaqueue.answer(call.state);
  elsif _run is null then
    return supaqueue.settle_by_hand(cur_job_id, _is_successful, coalesce(_report, '{}'));
  end if;
  return supaqueue.report(cur_job_id, _run, _is_successful, _report, nullif(_next, 'null'));
end
$$;
comment on function public.end_current_job is 'Supaqueue: reports a call; used by the supaqueue function, with the service role key';

-- Ends several calls of a run in one transaction. _reports is a list of what end_current_job takes for each,
-- by the names of its arguments.
--
-- Returns a list of what it would return for each; null for a report that has to be sent by itself. An error
-- means that nothing was settled, and that each has to be sent by itself.
create or replace function public.end_current_jobs(_run uuid, _reports jsonb)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
begin
  return supaqueue.report_together(_run, _reports);
end
$$;
comment on function public.end_current_jobs is 'Supaqueue: reports several calls at once; used by the supaqueue function, with the service role key';

-- As in the original, marking a current job complete by hand settles it too.
create or replace function supaqueue.after_update_current_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform supaqueue.settle_by_hand(new.id, coalesce(new.is_successful, false), '{}');
  return null;
end
$$;

create or replace trigger after_update_current_job_tg
after update on supaqueue.current_job
for each row when (new.is_complete and not old.is_complete)
execute function supaqueue.after_update_current_job_tg_fn();
