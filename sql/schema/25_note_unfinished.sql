-- Notes what could not be done, for the tick to do it again (see the table unfinished). The pause
-- is as long as it has not worked, at least 5 seconds, so that it doubles; at most 10 minutes for a
-- job, and 30 seconds for what concerns a whole queue.
--
-- A conflict with another transaction is normal: there is no pause, and the message is kept only
-- when it happens again. Nor is there one while nothing can be sent (55000, see post): trying costs
-- little, and a repair is noticed at the next tick. Other isolation levels only insert: an update could make them fail (40001).
create or replace function supaqueue.note_unfinished(
  _step text, _queue uuid, _job uuid, _sqlstate text, _message text, _outcome jsonb default null
)
returns void
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
  is_failure boolean := _message is not null and _sqlstate not in ('40001', '40P01', '55P03');
  has_pause boolean := is_failure and _sqlstate <> '55000';
  longest interval := case when _job is null then '30 seconds' else '10 minutes' end;
begin
  if current_setting('transaction_isolation') = 'read committed' then
    update supaqueue.unfinished u
    set tried_at = at, tries = u.tries + 1, sqlstate = _sqlstate,
      message = coalesce(_message, u.message), outcome = coalesce(_outcome, u.outcome),
      retry_at = case when has_pause then at + least(greatest(at - u.since, '5 seconds'), longest) else at end
    where u.id = (
      select n.id from supaqueue.unfinished n
      where n.step = _step and n.queue is not distinct from _queue and n.job is not distinct from _job
      order by n.id
      limit 1
      for update skip locked
    );
    if found then
      return;
    end if;
  end if;
  insert into supaqueue.unfinished (step, queue, job, sqlstate, message, outcome, retry_at)
  values (
    _step, _queue, _job, _sqlstate, case when is_failure then _message end, _outcome,
    case when has_pause then at + interval '5 seconds' else at end);
end
$$;
