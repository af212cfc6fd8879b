-- The result of end_current_job.
create or replace function supaqueue.answer(
  state text, reason text default null, next_record jsonb default null, held_record jsonb default null, again_in_ms integer default null
)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  return jsonb_build_object(
    'accepted', state <> 'refused', 'state', state, 'reason', reason, 'next', next_record, 'held', held_record, 'again_in_ms', again_in_ms);
end
$$;
