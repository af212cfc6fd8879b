-- How long a target function has for a job that is in progress, in milliseconds; null for any other.
create or replace function supaqueue.timeout_of(_job uuid)
returns integer
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select coalesce(j.timeout_ms, q.timeout_ms)
    from supaqueue.job j
    join supaqueue.queue q on q.id = j.queue
    where j.id = _job and j.status = 'in_progress'
  );
end
$$;
