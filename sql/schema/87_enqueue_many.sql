create or replace function supaqueue.enqueue_many(
  queue_name text,
  payloads jsonb[],
  priority integer default 0,
  run_at timestamptz default now(),
  headers jsonb default null,
  max_attempts integer default null,
  timeout_ms integer default null,
  path text default null
)
returns setof uuid
language plpgsql
set search_path = public, extensions
as $$
declare
  _queue uuid := supaqueue.queue_id(queue_name);
begin
  return query
  insert into supaqueue.job (queue, payload, priority, run_at, headers, max_attempts, timeout_ms, path)
  select
    _queue, item.payload, enqueue_many.priority, enqueue_many.run_at, enqueue_many.headers,
    enqueue_many.max_attempts, enqueue_many.timeout_ms, enqueue_many.path
  from unnest(payloads) with ordinality as item (payload, number)
  order by item.number
  returning id;
end
$$;
comment on function supaqueue.enqueue_many(text, jsonb[], integer, timestamptz, jsonb, integer, integer, text) is 'Puts a job per payload in the queue of that name; returns their ids in the same order';
