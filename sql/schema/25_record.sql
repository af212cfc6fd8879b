-- A current job with its job and queue, as the supaqueue function gets it.
-- What earlier attempts left on the job stays behind: a call does not need it.
create or replace function supaqueue.record(_current_job uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = ''
as $$
begin
  return (
    select jsonb_build_object(
      'current_job', to_jsonb(c),
      'job', to_jsonb(j) - array['result', 'errors'],
      'queue', to_jsonb(q)
    )
    from supaqueue.current_job c
    join supaqueue.job j on j.id = c.job
    join supaqueue.queue q on q.id = c.queue
    where c.id = _current_job
  );
end
$$;
