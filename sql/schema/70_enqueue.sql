-- The id of a queue by its name, or an error that says what to do.
create or replace function supaqueue.queue_id(queue_name text)
returns uuid
language plpgsql
stable
set search_path = ''
as $$
declare
  id uuid := (select q.id from supaqueue.queue q where q.name = queue_name);
begin
  if id is null then
    raise exception 'there is no queue named %', coalesce(quote_literal(queue_name), 'null')
      using errcode = 'no_data_found',
        hint = 'Create it: insert into supaqueue.queue (name, edge_function_name) values (…). Those there are: select name from supaqueue.queue.';
  end if;
  return id;
end
$$;

create or replace function supaqueue.enqueue(
  queue_name text,
  payload jsonb default '{}',
  priority integer default 0,
  run_at timestamptz default now(),
  headers jsonb default null,
  max_attempts integer default null,
  timeout_ms integer default null
)
returns uuid
language sql
set search_path = ''
as $$
  insert into supaqueue.job (queue, payload, priority, run_at, headers, max_attempts, timeout_ms)
  values (supaqueue.queue_id(queue_name), payload, priority, run_at, headers, max_attempts, timeout_ms)
  returning id
$$;
comment on function supaqueue.enqueue(text, jsonb, integer, timestamptz, jsonb, integer, integer) is 'Puts a job in the queue of that name; returns its id';

create or replace function supaqueue.enqueue_many(
  queue_name text,
  payloads jsonb[],
  priority integer default 0,
  run_at timestamptz default now(),
  headers jsonb default null,
  max_attempts integer default null,
  timeout_ms integer default null
)
returns setof uuid
language plpgsql
set search_path = ''
as $$
declare
  _queue uuid := supaqueue.queue_id(queue_name);
begin
  return query
  insert into supaqueue.job (queue, payload, priority, run_at, headers, max_attempts, timeout_ms)
  select
    _queue, item.payload, enqueue_many.priority, enqueue_many.run_at, enqueue_many.headers,
    enqueue_many.max_attempts, enqueue_many.timeout_ms
  from unnest(payloads) with ordinality as item (payload, number)
  order by item.number
  returning id;
end
$$;
comment on function supaqueue.enqueue_many(text, jsonb[], integer, timestamptz, jsonb, integer, integer) is 'Puts a job per payload in the queue of that name; returns their ids in the same order';
