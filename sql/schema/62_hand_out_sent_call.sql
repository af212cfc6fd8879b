-- Gives the lane of a call that ended a call of its queue that was sent and that no lane has
-- acknowledged, as the record that it needs, acknowledged by now. Null if there is none, or each
-- would take longer than _next_within_ms.
--
-- It keeps its own worker; that of the call that ended is free then. pg_net sends one batch a second
-- at most, so the lane is faster than the dispatch, which is refused when it arrives. What was sent
-- longer ago than a dispatch lease is left to the tick: the index keeps what vacuum may not remove.
create or replace function supaqueue.hand_out_sent_call(call supaqueue.current_job, _next_within_ms integer)
returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
  oldest timestamptz := at - supaqueue.ms((supaqueue.settings()).dispatch_lease_ms);
  sent_call uuid;
  _timeout_ms integer;
begin
  if _next_within_ms is null then
    return null;
  end if;
  select c.id, supaqueue.timeout_of(c.job) into sent_call, _timeout_ms
  from supaqueue.current_job c
  where c.queue = call.queue and c.acknowledged_at is null
    and c.created_at > oldest
    and supaqueue.timeout_of(c.job) <= _next_within_ms
  order by c.created_at
  limit 1
  for update skip locked;
  if not found then
    return null;
  end if;

  update supaqueue.current_job c
  set acknowledged_at = at, lane = call.lane, previous = call.id,
    lease_until = at + supaqueue.ms(supaqueue.lease_ms(_timeout_ms))
  where c.id = sent_call;
  return supaqueue.record(sent_call);
end
$$;

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
