-- Schedules the tick with pg_cron, and makes it active if it was not: every 5 seconds, or
-- every minute where pg_cron is older than 1.5. Returns the schedule, or null without pg_cron.
create or replace function supaqueue.schedule_tick()
returns text
language plpgsql
security definer
set search_path = ''
as $$
declare
  schedule text := (
    select case
      when string_to_array(substring(e.extversion from '^\d+\.\d+'), '.')::integer[] >= array[1, 5] then '5 seconds'
      else '* * * * *'
    end
    from pg_catalog.pg_extension e
    where e.extname = 'pg_cron'
  );
begin
  if schedule is null and exists (
    select from pg_catalog.pg_proc p where p.proname = 'schedule' and p.pronamespace = to_regnamespace('cron')
  ) then
    schedule := '5 seconds';
  end if;
  if schedule is not null then
    perform cron.alter_job(cron.schedule('supaqueue_tick', schedule, supaqueue.tick_command()), active => true);
  end if;
  return schedule;
end
$$;
comment on function supaqueue.schedule_tick is 'Has pg_cron run the tick; without pg_cron, something else has to call supaqueue.tick() every few seconds';

-- A database that only migrations have built has no other occasion. One that is there stays as it is.
do $$
begin
  if to_regclass('cron.job') is null then
    return;
  elsif not exists (select from cron.job j where j.jobname = 'supaqueue_tick') then
    perform supaqueue.schedule_tick();
  end if;
exception
  when others then
    raise warning 'cannot schedule the tick: %', sqlerrm;
end
$$;
