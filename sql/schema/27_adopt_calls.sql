-- Lets free workers take over the calls whose workers were deleted under them.
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
begin
  if not exists (select from supaqueue.current_job c where c.queue = _queue and c.worker is null) then
    return;
  end if;
  with call as (
    select locked.id, row_number() over (order by locked.id) as number
    from (
      select c.id from supaqueue.current_job c
      where c.queue = _queue and c.worker is null
      for no key update skip locked
    ) locked
  ),
  free_worker as (
    select locked.id, row_number() over (order by locked.id) as number
    from (
      select w.id from supaqueue.worker w
      where w.queue = _queue and not w.locked
      for no key update skip locked
    ) locked
  ),
  adopted as (
    update supaqueue.current_job c
    set worker = free_worker.id
    from call
    join free_worker using (number)
    where c.id = call.id
    returning c.worker
  )
  update supaqueue.worker w
  set locked = true
  from adopted
  where w.id = adopted.worker;
end
$$;
