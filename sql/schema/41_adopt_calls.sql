-- Lets free workers take over the calls of a queue whose workers were deleted, or moved to another
-- queue. Returns whether a call is left without a worker. Call it with the queue's lock held
-- exclusively.
--
-- Such a call ends normally and is not followed by another. Until then it counts: otherwise,
-- deleting and adding workers would let more calls run than there are workers. A call that is
-- locked just now is adopted next time.
create or replace function supaqueue.adopt_calls(_queue uuid)
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  left_worker uuid;
  calls uuid[];
  adopted uuid[];
  _worker uuid;
begin
  for left_worker in
    select d.worker from supaqueue.deleted_worker d where d.queue = _queue order by d.worker for update skip locked
  loop
    select w.id into _worker
    from supaqueue.worker w
    where w.queue = _queue and not w.locked
    order by w.id
    limit 1
    for no key update skip locked;
    exit when not found;

    calls := array(select c.id from supaqueue.current_job c where c.queue = _queue and c.worker = left_worker);
    if calls <> '{}' then
      adopted := array(select c.id from supaqueue.current_job c where c.id = any (calls) for no key update skip locked);
      -- All of them or none: its run may hold one ready behind the other.
      continue when cardinality(adopted) < cardinality(calls);
      update supaqueue.current_job c set worker = _worker where c.id = any (adopted);
      update supaqueue.worker w set locked = true where w.id = _worker;
    end if;
    delete from supaqueue.deleted_worker d where d.queue = _queue and d.worker = left_worker;
  end loop;
  return exists (
    select from supaqueue.deleted_worker d
    join supaqueue.current_job c on c.queue = d.queue and c.worker = d.worker
    where d.queue = _queue
  );
end
$$;
