-- When a schedule inserts its next job, or why it does not, in one plain sentence.
create or replace function supaqueue.explain_schedule(name text)
returns text
language plpgsql
security definer
set search_path = ''
as $$
declare
  schedule supaqueue.schedule;
  queue supaqueue.queue;
  message text;
begin
  select s.* into schedule from supaqueue.schedule s where s.name = explain_schedule.name;
  if schedule.id is null then
    return 'There is no such schedule.';
  end if;
  select q.* into queue from supaqueue.queue q where q.id = schedule.queue;
  select u.message into message from supaqueue.unfinished u where u.queue = schedule.id and u.step = 'schedule';
  if schedule.is_paused then
    return format('It is paused%s: update supaqueue.schedule set is_paused = false where name = %L;', ', because ' || schedule.paused_because, name);
  elsif message is not null then
    return format('Its jobs cannot be inserted: %s. It is tried again automatically.', message);
  elsif schedule.next_at is null then
    return format('It has no next time: update supaqueue.schedule set timezone = timezone where name = %L;', name);
  end if;
  return format('Next run at %s (%s%s).%s', to_char(schedule.next_at at time zone schedule.timezone, 'YYYY-MM-DD HH24:MI:SS'), schedule.timezone,
    case when schedule.timezone <> 'UTC' then to_char(schedule.next_at at time zone 'UTC', '", "YYYY-MM-DD HH24:MI:SS "UTC"') else '' end,
    case when queue.is_paused then ' Its queue is paused: the job will wait.' else '' end);
exception
  when others then
    return 'It could not be found out: ' || sqlerrm;
end
$$;
comment on function supaqueue.explain_schedule is 'When a schedule inserts its next job, or why it does not, in one plain sentence';
