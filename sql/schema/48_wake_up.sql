-- Queues that a transaction made startable are dispatched once, at its end.
--
-- A deferred trigger fires once per row. So the first row of a transaction queues
-- the event, and later rows only add their queue to the list that the event will
-- find. The list is a setting local to the transaction: rolling back a savepoint
-- takes list and event along.

-- Adds a queue to the list. True when the transaction has no event yet.
-- has_usable_worker: a worker can be used that could not be used before; not only a job is new.
-- _run_at: the job is due from then on. Where that is before the transaction, hints past it are
-- dropped when the transaction ends.
create or replace function supaqueue.wake_up(
  _queue uuid, has_usable_worker boolean default false, _run_at timestamptz default null
)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  queues text := coalesce(current_setting('supaqueue.queues_to_dispatch', true), '');
begin
  if position(_queue::text in queues) = 0 then
    perform set_config('supaqueue.queues_to_dispatch', queues || _queue || ' ', true);
  end if;
  if has_usable_worker then
    perform set_config('supaqueue.has_usable_workers', 'on', true);
  end if;
  if _run_at < now() and _run_at < coalesce(supaqueue.earliest_run_at(), now()) then
    perform set_config('supaqueue.earliest_run_at', extract(epoch from _run_at)::text, true);
  end if;
  return queues = '';
end
$$;

-- The earliest time since when a job of the list is due, if that is before the transaction.
-- It travels as seconds: the text of a timestamp depends on the session's settings.
create or replace function supaqueue.earliest_run_at()
returns timestamptz
language plpgsql
stable
set search_path = ''
as $$
begin
  -- A microsecond early, since the number may have been rounded up.
  return to_timestamp(nullif(current_setting('supaqueue.earliest_run_at', true), '')::double precision)
    - interval '1 microsecond';
end
$$;

-- Returns the list and empties it.
create or replace function supaqueue.take_wake_ups(out queues uuid[], out has_usable_workers boolean)
language plpgsql
set search_path = ''
as $$
declare
  list text := coalesce(current_setting('supaqueue.queues_to_dispatch', true), '');
begin
  has_usable_workers := coalesce(current_setting('supaqueue.has_usable_workers', true), '') = 'on';
  if list = '' then
    queues := '{}';
    return;
  end if;
  perform set_config('supaqueue.queues_to_dispatch', '', true);
  perform set_config('supaqueue.has_usable_workers', '', true);
  queues := array(select q.id from supaqueue.queue q where q.id::text = any (string_to_array(list, ' ')));
end
$$;
