-- What a caller of end_current_job is told.
create or replace function supaqueue.answer(state text, reason text, next_record jsonb)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  if reason is null then
    return jsonb_build_object('accepted', state <> 'refused', 'state', state, 'next', next_record);
  end if;
  return jsonb_build_object('accepted', state <> 'refused', 'state', state, 'next', next_record, 'reason', reason);
end
$$;

-- How long a call with a timeout may go without a report, in milliseconds.
create or replace function supaqueue.lease_ms(_timeout_ms integer)
returns bigint
language plpgsql
set search_path = ''
as $$
begin
  return _timeout_ms::bigint + (supaqueue.settings()).lease_grace_ms;
end
$$;
