-- The answer to a report whose current job is gone: the one it had before if
-- this is a repetition, else a refusal without effect.
create or replace function supaqueue.repeated_answer(_current_job uuid)
returns jsonb
language sql
stable
security definer
set search_path = ''
as $$
  select coalesce(
    (
      select supaqueue.answer('settled', null, supaqueue.record(c.id))
      from supaqueue.current_job c
      where c.previous = _current_job
    ),
    (
      select supaqueue.answer('settled', null, null)
      from supaqueue.worker w
      where w.last_report = _current_job
      limit 1
    ),
    supaqueue.answer('refused', 'this current job is unknown, was settled, or was taken back', null)
  )
$$;

-- Settles the job of a current job, and hands its worker's next job to the
-- caller or frees the worker.
create or replace function supaqueue.report(
  _current_job uuid, _is_successful boolean, _report jsonb, _next_within_ms integer
)
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  _lane uuid := supaqueue.uuid_or_null(_report ->> 'lane');
  call supaqueue.current_job;
  next_record jsonb;
begin
  delete from supaqueue.current_job c
  where c.id = _current_job and (c.lane <> _lane) is not true
  returning c.* into call;
  if not found then
    if exists (select from supaqueue.current_job c where c.id = _current_job) then
      return supaqueue.answer('refused', 'another lane has this current job', null);
    end if;
    return supaqueue.repeated_answer(_current_job);
  end if;

  perform supaqueue.settle_job(call.job, _is_successful, _report);

  next_record := supaqueue.hand_out_next_job(call, _next_within_ms);
  if next_record is null then
    next_record := supaqueue.free_worker(call, _next_within_ms);
  end if;
  return supaqueue.answer('settled', null, next_record);
end
$$;
