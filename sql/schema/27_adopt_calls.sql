-- Lets free workers take over the calls whose workers were deleted, or moved to
-- another queue, under them.
--
-- Such a call ends normally and nothing follows it; but until then it counts,
-- else deleting and adding workers would let more calls run than there are
-- workers.
create or replace function supaqueue.adopt_calls(_queue uuid)
returns void
language plpgsql
security definer
set search_path = ''
as $$
declare
  calls uuid[] := array(
    select c.id
    from supaqueue.current_job c
    where c.queue = _queue
      and not exists (select from supaqueue.worker w where w.id = c.worker and w.queue = c.queue)
    order by c.id
    for no key update skip locked
  );
  workers uuid[];
begin
  if calls = '{}' then
    return;
  end if;
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
