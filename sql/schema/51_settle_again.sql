-- Settles the jobs of a queue that could not be settled when their calls ended.
create or replace function supaqueue.settle_again(_queue uuid)
returns void
language plpgsql
set search_path = ''
as $$
declare
  item supaqueue.unfinished;
begin
  for item in
    select u.* from supaqueue.unfinished u
    where u.queue = _queue and u.step = 'settle' and u.job is not null and u.retry_at <= clock_timestamp()
    order by u.id
    limit 100
    for update skip locked
  loop
    begin
      perform supaqueue.settle_job(item.job, (item.outcome ->> 'is_successful')::boolean, item.outcome -> 'report')
      where not supaqueue.has_call(item.job);
      delete from supaqueue.unfinished u where u.id = item.id;
    exception
      when others then
        perform supaqueue.note_unfinished('settle', _queue, item.job, sqlstate, sqlerrm);
    end;
  end loop;
end
$$;
