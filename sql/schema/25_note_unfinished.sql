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
      where coalesce(n.job, n.queue, '00000000-0000-0000-0000-000000000000')
          = coalesce(_job, _queue, '00000000-0000-0000-0000-000000000000')
        and n.step = _step and n.job is not distinct from _job
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

-- Whether a step of a queue (null: of all) is not to be tried yet.
create or replace function supaqueue.is_put_off(_step text, _queue uuid)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  return exists (
    select from supaqueue.unfinished u
    where coalesce(u.job, u.queue, '00000000-0000-0000-0000-000000000000')
        = coalesce(_queue, '00000000-0000-0000-0000-000000000000')
      and u.step = _step and u.job is null and u.retry_at > clock_timestamp()
  );
end
$$;

-- Deletes the notes about a step, unless another transaction is writing to them: what it noted is not
-- done then.
create or replace function supaqueue.note_done(_step text, _queue uuid, _job uuid default null)
returns void
language plpgsql
set search_path = ''
as $$
begin
  delete from supaqueue.unfinished u
  where u.id = any (array(
    select n.id from supaqueue.unfinished n
    where coalesce(n.job, n.queue, '00000000-0000-0000-0000-000000000000')
        = coalesce(_job, _queue, '00000000-0000-0000-0000-000000000000')
      and n.step = _step and n.job is not distinct from _job
    for update skip locked
  ));
end
$$;
