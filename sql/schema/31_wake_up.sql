-- Queues in which a transaction made something startable are dispatched once, at its end.
--
-- A deferred trigger fires once per row, so only the first row of a transaction queues the event,
-- and later rows only add their queue to the list that the event will find. The list is a setting
-- local to the transaction: rolling back a savepoint undoes both the list and the event.

-- Adds a queue to the list. Returns true if the transaction has no event yet. _priority and _run_at
-- are the place of a job that is ready now; null: a worker became usable.
--
-- A transaction dispatches 50 queues at most. The others are left to the tick, so that no commit
-- takes long or holds many locks.
create or replace function supaqueue.wake_up(_queue uuid, _priority integer, _run_at timestamptz)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  queues text := coalesce(current_setting('supaqueue.queues_to_dispatch', true), '');
  place text := coalesce(current_setting('supaqueue.first_place', true), '');
begin
  if position(_queue::text in queues) > 0 then
    null;
  elsif length(queues) < 50 * 37 then
    perform set_config('supaqueue.queues_to_dispatch', queues || _queue || ' ', true);
  else
    perform supaqueue.leave_to_tick(_queue);
  end if;
  if _run_at is null then
    perform set_config('supaqueue.has_usable_workers', 'on', true);
  elsif place = '' or (_priority, extract(epoch from _run_at))
    < (split_part(place, ' ', 1)::integer, split_part(place, ' ', 2)::numeric)
  then
    -- Seconds since 1970: the text of a timestamp depends on the session's settings.
    perform set_config('supaqueue.first_place', _priority || ' ' || extract(epoch from _run_at), true);
  end if;
  return queues = '';
end
$$;

-- Has the tick look at a queue.
create or replace function supaqueue.leave_to_tick(_queue uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  insert into supaqueue.unfinished (step, queue)
  select 'start', _queue
  where not exists (select from supaqueue.unfinished u where u.queue = _queue and u.step = 'start' and u.job is null);
end
$$;

-- Returns the list and empties it.
create or replace function supaqueue.take_wake_ups(out queues uuid[], out has_usable_workers boolean)
language plpgsql
set search_path = ''
as $$
begin
  queues := string_to_array(rtrim(coalesce(current_setting('supaqueue.queues_to_dispatch', true), '')), ' ');
  has_usable_workers := coalesce(current_setting('supaqueue.has_usable_workers', true), '') = 'on';
  if queues <> '{}' then
    perform set_config('supaqueue.queues_to_dispatch', '', true);
    perform set_config('supaqueue.has_usable_workers', '', true);
  end if;
end
$$;
