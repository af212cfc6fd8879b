-- Settles the job of a call without a run's report. If a run makes the call, only the job is settled:
-- the worker stays locked until the run, which its next pulse tells, has aborted the call and reported
-- it, or is over. A job that is to be retried stays in progress until then.
create or replace function supaqueue.settle_by_hand(_current_job uuid, _is_successful boolean, _report jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  call supaqueue.current_job := supaqueue.lock_call(_current_job);
begin
  if call.id is null then
    return supaqueue.answer('refused', 'this current job is unknown, was settled, or was taken back');
  elsif call.run is not null then
    -- Setting is_complete comes back here, and finds the job settled.
    perform supaqueue.settle_or_note(call.job, call.queue, _is_successful, _report)
    where not supaqueue.is_settled(call.job);
    perform supaqueue.complete_call(call.id, _is_successful);
  else
    perform supaqueue.end_call(call.id);
    perform supaqueue.settle_or_note(call.job, call.queue, _is_successful, _report, can_be_repeated => true);
    perform supaqueue.free_worker(call);
  end if;
  return supaqueue.answer('settled');
end
$$;

-- Whether the job of a call was settled, or what it is to be settled as was noted.
create or replace function supaqueue.is_settled(_job uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return not exists (select from supaqueue.job j where j.id = _job and j.status = 'in_progress')
    or exists (select from supaqueue.unfinished u where u.job = _job and u.step = 'settle');
end
$$;

create or replace function supaqueue.complete_call(_current_job uuid, _is_successful boolean)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update supaqueue.current_job c
  set is_complete = true, is_successful = _is_successful
  where c.id = _current_job and not c.is_complete;
end
$$;
