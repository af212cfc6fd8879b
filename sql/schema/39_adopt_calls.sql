-- Whether a queue has a call whose worker was deleted, or moved to another queue,
-- under it, beside a free worker.
--
-- Such a call ends normally and nothing follows it; but until then it counts,
-- else deleting and adding workers would let more calls run than there are
-- workers. So a free worker takes it over before any job is started.
create or replace function supaqueue.has_calls_to_adopt(_queue uuid)
returns boolean
language plpgsql
stable
set search_path = ''
as $$
begin
  return exists (select from supaqueue.worker w where w.queue = _queue and not w.locked)
    and exists (
      select from supaqueue.current_job c
      where c.queue = _queue
        and not exists (select from supaqueue.worker w where w.id = c.worker and w.queue = c.queue)
    );
end
$$;

-- Lets free workers take over the calls of a queue that have none. Call it with
-- the queue's lock held exclusively: of two at once, each would use a free worker
-- that the other counts on.
--
-- A call that is locked just now stays behind: who acknowledges, reports or
-- reclaims it comes here next.
create or replace function supaqueue.adopt_calls(_queue uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  calls uuid[];
  workers uuid[];
begin
  if not supaqueue.has_calls_to_adopt(_queue) then
    return;
  end if;
  calls := array(
    select c.id
    from supaqueue.current_job c
    where c.queue = _queue
      and not exists (select from supaqueue.worker w where w.id = c.worker and w.queue = c.queue)
    order by c.id
    for no key update skip locked
  );
  workers := array(
    select w.id
    from supaqueue.worker w
    where w.queue = _queue and not w.locked
    order by w.id
    limit cardinality(calls)
    for no key update skip locked
  );
  update supaqueue.current_job c
  set worker = adopted.worker
  from unnest(calls[1:cardinality(workers)], workers) as adopted (call, worker)
  where c.id = adopted.call;
  update supaqueue.worker w set locked = true where w.id = any (workers);
end
$$;
