-- Adds or deletes workers until the queue has that many. Free workers go first;
-- a worker that is deleted under its call leaves the call to end normally.
create or replace function supaqueue.set_workers(queue_name text, number integer)
returns void
language plpgsql
set search_path = ''
as $$
declare
  _queue uuid := supaqueue.queue_id(queue_name);
  missing integer;
begin
  if number is null or number not between 0 and 10000 then
    raise exception 'cannot give queue % % workers', quote_literal(queue_name), coalesce(number::text, 'null')
      using errcode = 'invalid_parameter_value', hint = 'The number of workers is between 0 and 10000.';
  end if;
  -- Two calls at once would each add what the other adds.
  perform from supaqueue.queue q where q.id = _queue for no key update;
  missing := number - (select count(*) from supaqueue.worker w where w.queue = _queue);
  insert into supaqueue.worker (queue) select _queue from generate_series(1, missing);
  delete from supaqueue.worker w
  where w.id in (
    select old.id from supaqueue.worker old
    where old.queue = _queue
    order by old.locked, old.id desc
    limit greatest(-missing, 0)
  );
end
$$;
comment on function supaqueue.set_workers is 'Gives the queue of that name that many workers: as many calls at once, at most';
