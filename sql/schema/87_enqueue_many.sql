-- With keys, one after the other: a later payload may meet the job of an earlier one.
create or replace function supaqueue.enqueue_many(
  queue_name text,
  payloads jsonb[],
  priority integer default 0,
  run_at timestamptz default now(),
  headers jsonb default null,
  max_attempts integer default null,
  timeout_ms integer default null,
  path text default null,
  keys text[] default null,
  on_conflict text default 'keep',
  tenant text default null
)
returns setof uuid
language plpgsql
set search_path = public, extensions
as $$
declare
  _queue uuid := supaqueue.queue_id(queue_name);
begin
  if keys is not null or on_conflict is distinct from 'keep' then
    if cardinality(keys) is distinct from cardinality(payloads) then
      raise exception 'cannot enqueue: there are % payloads and % keys', cardinality(payloads), coalesce(cardinality(keys)::text, 'no')
        using errcode = 'invalid_parameter_value', hint = 'Pass one key per payload; null for a job without one.';
    end if;
    return query
    select supaqueue.enqueue(
      queue_name, item.payload, enqueue_many.priority, enqueue_many.run_at, enqueue_many.headers, enqueue_many.max_attempts,
      enqueue_many.timeout_ms, enqueue_many.path, item.key, case when item.key is null then 'keep' else enqueue_many.on_conflict end, enqueue_many.tenant)
    from unnest(payloads, keys) with ordinality as item (payload, key, number)
    order by item.number;
    return;
  end if;
  return query
  insert into supaqueue.job (queue, payload, priority, run_at, headers, max_attempts, timeout_ms, path, tenant)
  select
    _queue, item.payload, enqueue_many.priority, enqueue_many.run_at, enqueue_many.headers,
    enqueue_many.max_attempts, enqueue_many.timeout_ms, enqueue_many.path, enqueue_many.tenant
  from unnest(payloads) with ordinality as item (payload, number)
  order by item.number
  returning id;
end
$$;
comment on function supaqueue.enqueue_many(text, jsonb[], integer, timestamptz, jsonb, integer, integer, text, text[], text, text) is
  'Puts a job per payload in the queue of that name; returns their ids in the same order, or those of the jobs that hold their keys already';
