-- Gives a run calls of a queue that were sent and that no run has acknowledged, the oldest first, as
-- many as it has room for: in its pulse _claimed_in, or with its report of the call _previous. Returns
-- their ids.
--
-- They keep their workers. pg_net sends one batch a second at most, so the run is faster than the
-- dispatch, which brings nothing when it arrives. What was sent longer ago than two dispatch leases is left
-- to the tick: the index keeps what vacuum may not remove.
create or replace function supaqueue.take_sent_calls(
  _queue uuid, _run uuid, _claimed_in integer, _previous uuid, room jsonb
)
returns uuid[]
language plpgsql
set search_path = ''
as $$
declare
  oldest timestamptz := clock_timestamp() - supaqueue.ms((supaqueue.settings()).dispatch_lease_ms * 2.0);
  sent record;
  calls uuid[] := '{}';
begin
  while supaqueue.fits(room, 0, 0) loop
    select c.id, n.bytes into sent
    from supaqueue.current_job c
    cross join lateral supaqueue.needs_of(c.job) n
    where c.queue = _queue and c.run is null and c.created_at > oldest
      and n.status = 'in_progress' and supaqueue.fits(room, n.timeout_ms, n.bytes)
    order by c.created_at
    limit 1
    for update of c skip locked;
    exit when not found;
    perform supaqueue.begin_call(sent.id, _run, _claimed_in, _previous);
    calls := calls || sent.id;
    room := supaqueue.room_after(room, 1, sent.bytes);
  end loop;
  return calls;
end
$$;

-- Gives a sent call to a run.
create or replace function supaqueue.begin_call(_current_job uuid, _run uuid, _claimed_in integer, _previous uuid)
returns void
language plpgsql
set search_path = ''
as $$
begin
  update supaqueue.current_job c
  set state = 'started', run = _run, claimed_in = _claimed_in, previous = _previous, lease_until = null
  where c.id = _current_job;
end
$$;
