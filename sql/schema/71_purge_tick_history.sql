-- Deletes what pg_cron keeps of each run of the tick, for ever otherwise, after an hour.
create or replace function supaqueue.purge_tick_history()
returns void
language plpgsql
set search_path = ''
as $$
begin
  if to_regclass('cron.job_run_details') is not null then
    delete from cron.job_run_details d
    using cron.job j
    where j.jobid = d.jobid and j.jobname = 'supaqueue_tick' and d.end_time < now() - interval '1 hour';
  end if;
end
$$;
