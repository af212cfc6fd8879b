-- One statement: a job that comes in meanwhile is counted by its trigger, and not here, too.
with forgotten as (
  delete from supaqueue.job_count where true
)
insert into supaqueue.job_count (queue, status, difference)
select j.queue, j.status, count(*) from supaqueue.job j group by j.queue, j.status;
