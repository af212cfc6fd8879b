-- Does the next piece of the operation whose turn it is; returns whether there is another piece to do now. Each
-- operation fails alone.
create or replace function supaqueue.operate()
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  operation uuid := supaqueue.next_operation();
begin
  if operation is null then
    return false;
  end if;
  perform supaqueue.run_step('operation', operation);
  return supaqueue.next_operation() is not null;
end
$$;

create or replace function supaqueue.has_operation()
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (select from supaqueue.operation o where o.status = 'running');
end
$$;

-- The running operation that has waited longest for its turn.
create or replace function supaqueue.next_operation()
returns uuid
language plpgsql
set search_path = ''
as $$
begin
  return (
    select o.id
    from supaqueue.operation o
    where o.status = 'running' and supaqueue.allowance(o) > 0 and not supaqueue.is_put_off('operation', o.id)
    order by o.worked_at nulls first, o.id
    limit 1
  );
end
$$;

-- How many jobs an operation may act on now: a piece has 1000. What it did not use of its pace is lost after a minute.
create or replace function supaqueue.allowance(operation supaqueue.operation)
returns integer
language plpgsql
set search_path = ''
as $$
begin
  return least(1000, floor(coalesce(operation.per_second
    * extract(epoch from clock_timestamp() - greatest(operation.paced_at, clock_timestamp() - interval '1 minute')), 1000)));
end
$$;

-- Does one piece. The place moves in the same transaction, and the row stays locked until its end: so no piece is lost or done
-- twice, also when two do this at once, or one of them crashes.
create or replace function supaqueue.operate_piece(_operation uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  operation supaqueue.operation := supaqueue.lock_operation(_operation);
  number integer := supaqueue.allowance(operation);
  piece record;
  result record;
begin
  if operation.id is null or number <= 0 then
    return;
  end if;
  piece := supaqueue.find_jobs(operation.plan, operation.cursor, number, 10000, true);
  result := supaqueue.act_on_jobs(operation, piece.jobs);
  update supaqueue.operation o
  set cursor = coalesce(piece.next, o.cursor),
    status = case when piece.next is null then 'done' else o.status end,
    matched = o.matched + result.matched,
    done = o.done + result.matched - result.refused,
    refused = o.refused + result.refused,
    last_refusal = coalesce(result.last_refusal, o.last_refusal),
    paced_at = greatest(o.paced_at, clock_timestamp() - interval '1 minute')
      + coalesce(cardinality(piece.jobs) * interval '1 second' / o.per_second, '0'),
    worked_at = clock_timestamp()
  where o.id = operation.id;
end
$$;

create or replace function supaqueue.lock_operation(_operation uuid)
returns supaqueue.operation
language plpgsql
set search_path = ''
as $$
declare
  operation supaqueue.operation;
begin
  select o.* into operation from supaqueue.operation o where o.id = _operation and o.status = 'running' for no key update skip locked;
  return operation;
end
$$;

-- Deletes operations that ended 30 days ago.
create or replace function supaqueue.delete_old_operations()
returns void
language plpgsql
set search_path = ''
as $$
begin
  delete from supaqueue.operation o
  where o.id = any (array(
    select e.id from supaqueue.operation e
    where e.finished_at < now() - interval '30 days'
    order by e.finished_at
    limit 1000
    for update skip locked
  ));
end
$$;
