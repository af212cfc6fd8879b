-- Settles the jobs of a queue (or one of them) that could not be settled when their calls ended, or
-- before, by hand.
create or replace function supaqueue.settle_again(_queue uuid, _job uuid default null)
returns void
language plpgsql
set search_path = ''
as $$
declare
  item supaqueue.unfinished;
  call supaqueue.current_job;
begin
  for item in
    select u.* from supaqueue.unfinished u
    where u.queue = _queue and u.step = 'settle' and u.job = coalesce(_job, u.job) and u.retry_at <= clock_timestamp()
    order by u.id
    limit 100
    for update skip locked
  loop
    begin
      call := supaqueue.call_of(item.job);
      continue when call.is_complete or supaqueue.is_being_changed(item.job);
      if call.id is null then
        perform supaqueue.settle_job(item.job, (item.outcome ->> 'is_successful')::boolean, item.outcome -> 'report');
      end if;
      delete from supaqueue.unfinished u where u.id = item.id;
    exception
      when others then
        perform supaqueue.note_unfinished('settle', _queue, item.job, sqlstate, sqlerrm);
    end;
  end loop;
end
$$;

create or replace function supaqueue.call_of(_job uuid)
returns supaqueue.current_job
language plpgsql
stable
set search_path = ''
as $$
declare
  call supaqueue.current_job;
begin
  select c.* into call from supaqueue.current_job c where c.job = _job;
  return call;
end
$$;
