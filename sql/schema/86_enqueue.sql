create or replace function supaqueue.enqueue(
  queue_name text,
  payload jsonb default '{}',
  priority integer default 0,
  run_at timestamptz default now(),
  headers jsonb default null,
  max_attempts integer default null,
  timeout_ms integer default null,
  path text default null
)
returns uuid
language plpgsql
set search_path = public, extensions
as $$
declare
  new_job uuid;
begin
  insert into supaqueue.job as j (queue, payload, priority, run_at, headers, max_attempts, timeout_ms, path)
  values (supaqueue.queue_id(queue_name), payload, priority, run_at, headers, max_attempts, timeout_ms, path)
  returning j.id into new_job;
  return new_job;
end
$$;
comment on function supaqueue.enqueue(text, jsonb, integer, timestamptz, jsonb, integer, integer, text) is 'Puts a job in the queue of that name; returns its id';
