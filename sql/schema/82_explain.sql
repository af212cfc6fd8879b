-- Why a job is not running, in one plain sentence: the first reason that holds, from the job's own
-- to its queue's to the project's. Never fails.
create or replace function supaqueue.explain(job uuid)
returns text
language plpgsql
set search_path = ''
as $$
begin
  return supaqueue.reason(job);
exception
  when others then
    return 'It could not be found out: ' || sqlerrm;
end
$$;
comment on function supaqueue.explain is 'Why a job is not running, in one plain sentence';

-- Counts ten thousand jobs at most: asking must not cost what the backlog costs.
create or replace function supaqueue.reason(_id uuid)
returns text
language plpgsql
set search_path = ''
as $$
declare
  _job supaqueue.job;
  _queue supaqueue.queue;
  _call supaqueue.current_job;
  _until timestamptz;
  attempts text;
  workers bigint;
  free_workers bigint;
  jobs_before bigint;
  problem text;
  waits_for text;
  holder record;
  key_state text;
begin
  select j.* into _job from supaqueue.job j where j.id = _id;
  if not found then
    return 'There is no such job: it was never committed, or it was deleted, as finished jobs are after a while.';
  end if;
  select q.* into _queue from supaqueue.queue q where q.id = _job.queue;
  select c.* into _call from supaqueue.current_job c where c.job = _job.id;
  select h.until into _until from supaqueue.held_job h where h.job = _job.id;
  attempts := format('attempt %s of %s', _job.attempts, coalesce(_job.max_attempts, _queue.max_attempts));
  select format(' %s: %s.', case
      when p.job = _job.id then 'It has a problem'
      when p.queue is null then 'There is a problem'
      else 'Its queue has a problem'
    end, p.problem)
  into problem
  from supaqueue.problems() p
  where (p.queue is null or p.queue = _queue.name)
    -- Those keep jobs from being inserted, or operations from going on.
    and p.problem not like 'the schedule %'
    and p.problem not like 'cannot go on with operation %'
    and (p.job is null or p.job = _job.id or _job.status = 'pending' and p.problem like 'sent to%')
  order by p.job = _job.id desc nulls last, p.queue is null desc
  limit 1;

  if _job.key is not null and _job.ended_as is not null then
    holder := supaqueue.holder_of(_job.queue, _job.key);
    key_state := format(case
        when holder.until <= clock_timestamp() then null
        when holder.job <> _job.id then '; its key %L is held by job %s'
        when holder.until = 'infinity' then '; it holds its key %L as long as it is kept'
        else '; it holds its key %L until %3$s'
      end, _job.key, holder.job, date_trunc('second', holder.until));
  end if;
  case _job.status
    when 'successful' then
      return format('It has finished: successful since %s%s.', date_trunc('second', _job.finished_at), key_state);
    when 'failed' then
      return format('It has finished: failed since %s, after %s%s%s.', date_trunc('second', _job.finished_at), attempts,
        ': ' || (_job.errors -> -1 ->> 'message'), key_state);
    when 'cancelled' then
      return format('It has finished: cancelled since %s%s%s.', date_trunc('second', _job.finished_at),
        case _call.state
          when 'sent' then '; its call will not begin'
          when 'held' then '; its call will not begin'
          when 'started' then '; the run that makes its call aborts it at its next pulse'
        end,
        coalesce(': ' || substring(_job.errors -> -1 ->> 'message' from '^superseded by .*'), key_state));
    when 'in_progress' then
      return case
        when _call.id is null and exists (select from supaqueue.unfinished u where u.job = _job.id and u.step = 'settle') then
          format('Its call has ended, and the job could not be settled yet; the tick tries again.%s', problem)
        when _call.id is null then
          'It is in_progress without a call: a later tick counts that as a lost attempt.'
        when _call.state = 'sent' then
          format('It was sent to the supaqueue function (%s, since %s, on worker %s) and not acknowledged yet; it is sent again after %s.%s',
            attempts, date_trunc('second', _job.started_at), _call.worker, date_trunc('second', _call.lease_until), problem)
        when _call.is_complete then
          'It was settled by hand, and is retried when the run that makes its call has aborted it, at its next pulse.'
        when not exists (select from supaqueue.run r where r.id = _call.run and not r.is_over) then
          format('The run that made its call is over: the next tick counts a lost attempt (%s) and starts it again.', attempts)
        when _call.state = 'held' then
          format('A run of the supaqueue function holds it ready, as the next call of worker %s (%s).', _call.worker, attempts)
        else
          format('It is running: %s, since %s, on worker %s.', attempts, date_trunc('second', _job.started_at), _call.worker)
      end;
    when 'waiting' then
      if to_regprocedure('supaqueue.explain_waiting(uuid)') is not null then
        execute 'select supaqueue.explain_waiting($1)' into waits_for using _job.id;
        if waits_for is not null then
          return waits_for;
        end if;
      end if;
      return format('It is held until somebody releases it: update supaqueue.job set status = ''pending'' where id = %L;', _job.id);
    else
      null;
  end case;

  if _job.run_at > clock_timestamp() then
    return format('It is due at %s%s.%s', date_trunc('second', _job.run_at),
      case when _job.attempts > 0 then format(', for a retry after %s failed', attempts) end, problem);
  elsif exists (select from supaqueue.unfinished u where u.job = _job.id and u.step = 'start') then
    return format('It could not be started, and is tried again after %s.%s', date_trunc('second', _until), problem);
  elsif _queue.is_paused then
    return format('Its queue is paused: update supaqueue.queue set is_paused = false where name = %L;', _queue.name);
  end if;

  select count(*), count(*) filter (where not w.locked) into workers, free_workers
  from supaqueue.worker w
  where w.queue = _queue.id;
  if workers = 0 then
    return format('Its queue has no workers: select supaqueue.set_workers(%L, 1);', _queue.name);
  elsif free_workers = 0 then
    jobs_before := (
      select count(*) from (
        select from supaqueue.ready_job r
        where r.queue = _queue.id and (r.priority, r.run_at, r.position) < (_job.priority, _job.run_at, _job.position)
        limit 10001
      ) due
    );
    return format('All workers of its queue are busy (%s of %s), and %s due jobs are before it.%s', workers, workers,
      case when jobs_before > 10000 then 'more than 10000' else jobs_before::text end, problem);
  elsif problem is not null then
    return format('It is due, and was not started.%s', problem);
  elsif exists (select from supaqueue.unfinished u where u.queue = _queue.id and u.step = 'start' and u.job is null) then
    return 'It is due, and was left to the next tick.';
  end if;
  return 'It is due and about to start, at the next tick at the latest; the tick runs every few seconds'
    || coalesce(' and last ran ' || (select supaqueue.ago(t.started_at) from supaqueue.last_tick t), '') || '.';
end
$$;
