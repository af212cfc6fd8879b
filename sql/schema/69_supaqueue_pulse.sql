-- The pulse of a run, for all its calls. It lives in public because PostgREST exposes that schema; only
-- service_role may call it. _request may hold:
--   protocol     2
--   acknowledge  ids of current jobs that dispatches have brought
--   calls        ids of those that the run has
--   queues       for which it waits for work and would take calls: [{"id", "idle_ms": since it had one}]
--   give_back    ids of calls that the run has and does not begin: no attempt is spent
--   limits       what it can take in all: {"calls", "bytes", "within_ms": the longest timeout that fits now,
--                "whole_ms": that fits a fresh isolate}
--
-- Returns {"accepted": true, "lease_ms", "started": records of calls to begin, "cancelled": ids of calls to
-- abort and report, "gone": ids that are no calls of the run, "unwanted": ids of calls to be given back
-- instead of being held ready, "queues": [{"id", "again_in_ms"}]}: a late
-- pulse gets empty lists and no lease. Or {"accepted": false, "reason"}: the run is over, and has to abort
-- everything.
create or replace function public.supaqueue_pulse(_run uuid, _number integer, _request jsonb default '{}')
returns jsonb
language plpgsql
security definer
set search_path = ''
as $$
declare
  protocol text := coalesce(_request ->> 'protocol', '2');
begin
  if _run is null or _number is null or _number < 1 then
    raise exception 'cannot take a pulse: _run must not be null, and _number counts from 1'
      using errcode = 'invalid_parameter_value';
  elsif protocol <> '2' then
    return jsonb_build_object('accepted', false, 'reason', format(
      'the supaqueue function speaks protocol %s, and the schema supaqueue speaks 2: upgrade the %s with %s',
      protocol, case when protocol ~ '^([3-9]|[1-9]\d+)$' then 'schema' else 'function' end, supaqueue.command('install')));
  end if;
  return supaqueue.pulse(_run, _number, coalesce(_request, '{}'));
end
$$;
comment on function public.supaqueue_pulse is 'Supaqueue: the sign of life of a run; used by the supaqueue function, with the service role key';
