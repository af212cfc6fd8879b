-- Continues unfinished propagations for about _limit targets, and returns whether there is more to do. It
-- waits for no lock and never fails: after a failure it takes smaller steps until the failing target is
-- isolated, and retries that one after growing pauses.
create or replace function supaqueue.continue_propagations(_limit integer)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  taken supaqueue.propagation[];
begin
  if current_setting('transaction_isolation') <> 'read committed'
    or current_setting('supaqueue.has_dependency_changes', true) = 'on'
  then
    return false;
  end if;
  begin
    taken := supaqueue.take_propagations(_limit);
    if taken = '{}' then
      return false;
    end if;
    perform supaqueue.propagate(taken, '{}', least(_limit, taken[1].step), may_wait => false);
    delete from supaqueue.unfinished u
    using unnest(taken) t
    where u.step = 'learn that a source ended' and u.job = t.to_target and t.retry_at > '-infinity';
  exception
    when others then
      if taken is null then
        raise;
      end if;
      perform supaqueue.put_off_propagations(taken, sqlstate, sqlerrm);
  end;
  return exists (select from supaqueue.propagation p where p.retry_at <= clock_timestamp());
end
$$;

-- What the tick does for job dependencies. A target that waits again takes its key again, which
-- another transaction may be about to take: the tick does not wait for that.
create or replace function supaqueue.tick_job_dependencies()
returns boolean
language sql
set search_path = ''
set lock_timeout = '1s'
as $$
  select supaqueue.continue_propagations(1000)
$$;

-- Makes the next step of propagations that failed smaller, or puts off their only target. The failure has
-- released their rows: those that another transaction has now are left to it.
create or replace function supaqueue.put_off_propagations(_failed supaqueue.propagation[], _sqlstate text, _message text)
returns void
language plpgsql
set search_path = ''
as $$
declare
  failed supaqueue.propagation;
  targets uuid[];
begin
  if _failed[1].step > 1 then
    with locked as (
      select p.source, p.number, p.from_target
      from unnest(_failed) f
      join supaqueue.propagation p using (source, number, from_target)
      for update of p skip locked
    )
    update supaqueue.propagation p
    set step = greatest(p.step / 10, 1)
    from locked l
    where p.source = l.source and p.number = l.number and p.from_target = l.from_target;
    return;
  end if;

  select p.* into failed
  from supaqueue.propagation p
  where p.source = _failed[1].source and p.number = _failed[1].number and p.from_target = _failed[1].from_target
    and p.retry_at <= clock_timestamp()
  for update skip locked;
  if not found then
    return;
  end if;
  -- Dependencies are only added while the row is not locked.
  targets := array(
    select d.target
    from supaqueue.job_dependencies d
    where d.source = failed.source and d.target between failed.from_target and failed.to_target
    order by d.target
    limit 2
  );
  update supaqueue.propagation p
  set to_target = coalesce(targets[1], p.to_target),
    retry_at = clock_timestamp() + greatest(interval '1 second', least(clock_timestamp() - p.since, interval '5 minutes'))
  where p.source = failed.source and p.number = failed.number and p.from_target = failed.from_target;
  insert into supaqueue.propagation (source, number, old_status, new_status, is_deleted, from_target, to_target, step)
  select failed.source, failed.number, failed.old_status, failed.new_status, failed.is_deleted,
    targets[2], failed.to_target, failed.step
  where targets[2] is not null;
  perform supaqueue.note_unfinished('learn that a source ended', null, targets[1], _sqlstate, _message);
end
$$;
