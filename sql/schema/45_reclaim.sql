-- Takes back, in the given queues (null: in all), the calls whose lease is over:
-- not acknowledged ones are sent again under a new id (a bounded number of
-- times, then they go back to pending with the reason, the attempt not spent);
-- acknowledged ones are lost attempts. In all queues, frees workers and jobs that have
-- no call, too.
create or replace function supaqueue.reclaim(_queues uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
  limits supaqueue.setting := (select s from supaqueue.setting s);
  problem text;
  call supaqueue.current_job;
  _job uuid;
  to_send uuid[] := '{}';
  workers uuid[] := '{}';
begin
  for call in
    select c.* from supaqueue.current_job c
    where c.lease_until < at and (_queues is null or c.queue = any (_queues))
    order by c.id
    for update skip locked
  loop
    -- A job that somebody is deleting or changing just now is left to the next time.
    perform from supaqueue.job j where j.id = call.job for no key update skip locked;
    continue when not found and exists (select from supaqueue.job j where j.id = call.job);

    problem := case when call.acknowledged_at is null then (select p.problem from supaqueue.dispatch_problem() p) end;
    if call.acknowledged_at is null and call.dispatches < limits.max_dispatches and problem is null
      and exists (select from supaqueue.job j where j.id = call.job and j.status = 'in_progress')
    then
      to_send := to_send || call.id;
      continue;
    end if;

    delete from supaqueue.current_job c where c.id = call.id;
    workers := workers || call.worker;
    if call.acknowledged_at is null then
      perform supaqueue.settle_job(call.job, false, jsonb_build_object(
        'is_attempt', false,
        'retry_after_ms', limits.dispatch_lease_ms,
        'error', jsonb_build_object('message', format(
          'not acknowledged by the supaqueue function, sent %s times; %s',
          call.dispatches, coalesce(problem, supaqueue.request_outcome(call.request_id))))
      ));
    else
      perform supaqueue.settle_job(call.job, false, jsonb_build_object('error', jsonb_build_object(
        'message', 'lost: the call was not reported within its timeout and the grace after it')));
    end if;
  end loop;

  if to_send <> '{}' then
    with resent as (
      update supaqueue.current_job c
      set id = supaqueue.new_id(), dispatches = c.dispatches + 1, created_at = clock_timestamp(),
        lease_until = clock_timestamp() + supaqueue.ms(limits.dispatch_lease_ms * (c.dispatches + 1.0))
      where c.id = any (to_send)
      returning c.id
    )
    select array_agg(resent.id order by resent.id) into to_send from resent;
    perform supaqueue.send_current_jobs(to_send);
  end if;

  -- Only in the tick: within a report, its own worker has no call for a moment.
  if _queues is null then
    for _job in
      select j.id from supaqueue.job j
      where j.status = 'in_progress' and not exists (select from supaqueue.current_job c where c.job = j.id)
      for no key update skip locked
    loop
      -- Once more, with the row locked: somebody else may have started it again meanwhile.
      if not exists (select from supaqueue.current_job c where c.job = _job) then
        perform supaqueue.settle_job(_job, false, jsonb_build_object('error', jsonb_build_object(
          'message', 'lost: the job was in progress without a current job')));
      end if;
    end loop;
    workers := workers || array(
      select w.id from supaqueue.worker w
      where w.locked
        and not exists (select from supaqueue.current_job c where c.queue = w.queue and c.worker = w.id)
    );
  end if;

  if workers <> '{}' then
    -- All of the caller's queues, so that it takes no lower one after a higher one.
    perform supaqueue.lock_queues('{}', coalesce(_queues, array(select q.id from supaqueue.queue q)));
    update supaqueue.worker w
    set locked = false
    from (
      select l.id from supaqueue.worker l
      where l.id = any (workers) and l.locked
        and not exists (select from supaqueue.current_job c where c.queue = l.queue and c.worker = l.id)
      for no key update skip locked
    ) without_call
    where w.id = without_call.id;
  end if;
end
$$;

-- Reclaims what there is to reclaim, cheap where there is nothing. Never fails.
create or replace function supaqueue.try_reclaim(_queues uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  -- A variable: with the volatile function itself, the index could not be used.
  at timestamptz := clock_timestamp();
begin
  if exists (
    select from supaqueue.current_job c
    where c.lease_until < at and (_queues is null or c.queue = any (_queues))
  ) then
    perform supaqueue.reclaim(_queues);
  end if;
exception
  when others then
    raise warning 'supaqueue could not take back lost calls now: %', sqlerrm
      using hint = 'The tick tries again.', errcode = sqlstate;
end
$$;
