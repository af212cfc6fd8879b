-- A current job with its job and queue, as a run gets them: only what a call needs. Whole rows
-- would make a report a twentieth slower.
create or replace function supaqueue.record_of(_current_job uuid, job_record jsonb, queue supaqueue.queue)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  return jsonb_build_object(
    'current_job', jsonb_build_object('id', _current_job),
    'job', job_record,
    'queue', jsonb_build_object(
      'id', queue.id, 'name', queue.name, 'edge_function_name', queue.edge_function_name, 'path', queue.path, 'auth', queue.auth,
      'default_headers', queue.default_headers, 'timeout_ms', queue.timeout_ms,
      'final_statuses', queue.final_statuses
    )
  );
end
$$;

create or replace function supaqueue.job_record(job supaqueue.job)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  return jsonb_build_object(
    'id', job.id, 'payload', job.payload, 'attempts', job.attempts, 'headers', job.headers, 'path', job.path,
    'timeout_ms', job.timeout_ms);
end
$$;

-- The record of a current job; null if its job or its queue is gone.
create or replace function supaqueue.record(_current_job uuid)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  call supaqueue.current_job;
  job supaqueue.job;
  queue supaqueue.queue;
begin
  select c.* into call from supaqueue.current_job c where c.id = _current_job;
  select j.* into job from supaqueue.job j where j.id = call.job;
  select q.* into queue from supaqueue.queue q where q.id = call.queue;
  if job.id is null or queue.id is null then
    return null;
  end if;
  return supaqueue.record_of(call.id, supaqueue.job_record(job), queue);
end
$$;
