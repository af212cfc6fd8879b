-- Deletes the rows that pg_cron keeps of each run of the tick, after an hour. They have an index on
-- runid only, and may be millions: this looks at a few at a time, in that order.
create or replace function supaqueue.purge_tick_history()
returns void
language plpgsql
set search_path = ''
set lock_timeout = '1s'
as $$
declare
  runs bigint[];
begin
  if to_regclass('cron.job_run_details') is null then
    return;
  end if;
  runs := array(
    select d.runid
    from (
      select
        r.runid,
        -- Runs that a restart of the server ended have no times.
        coalesce(r.end_time, r.start_time, case r.status when 'failed' then '-infinity'::timestamptz end) as end_time
      from cron.job_run_details r
      where r.runid > coalesce(
        -- pg_cron counts from 1 again after it was installed anew.
        (select t.purged_until from supaqueue.last_tick t
          where exists (select from cron.job_run_details d where d.runid >= t.purged_until)), 0)
      order by r.runid
      limit 100
    ) d
    where d.end_time < now() - interval '1 hour'
    order by d.runid
  );
  delete from cron.job_run_details d
  where d.runid = any (array(
    select r.runid from cron.job_run_details r
    where r.runid = any (runs) and r.command ~ 'supaqueue\.tick(_step)?\('
    for update skip locked
  ));
  update supaqueue.last_tick t set purged_until = runs[cardinality(runs)] where t.is_only_row and runs <> '{}';
end
$$;
