-- Sends current jobs to the supaqueue function, at most jobs_per_request in one request. Without
-- their payloads, which every role could read in pg_net's tables: a run gets them when it
-- acknowledges the calls (see acknowledge). What is sent is enough for a log.
create or replace function supaqueue.send_current_jobs(_current_jobs uuid[])
returns void
language plpgsql
set search_path = ''
as $$
begin
  with record as (
    select
      c.id,
      row_number() over (order by o.number) - 1 as number,
      jsonb_build_object(
        'current_job', jsonb_build_object('id', c.id),
        'job', jsonb_build_object('id', j.id, 'attempts', j.attempts),
        'queue', jsonb_build_object('id', q.id, 'name', q.name)) as record
    from unnest(_current_jobs) with ordinality as o (id, number)
    join supaqueue.current_job c on c.id = o.id
    join supaqueue.job j on j.id = c.job
    join supaqueue.queue q on q.id = c.queue
  ),
  request as materialized (
    select
      array_agg(r.id) as ids,
      supaqueue.post(jsonb_build_object('protocol', 2, 'current_jobs', jsonb_agg(r.record order by r.number))) as request_id
    from record r
    group by r.number / (select s.jobs_per_request from supaqueue.settings() s)
  )
  update supaqueue.current_job c
  set request_id = request.request_id
  from request
  where c.id = any (request.ids);
end
$$;

-- Sends new calls, except those that a run has claimed, or that its report returned.
create or replace function supaqueue.after_insert_current_job_tg_fn()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if exists (select from inserted c where c.run is null) then
    perform supaqueue.send_current_jobs(array(
      select c.id from inserted c where c.run is null order by c.created_at, c.id
    ));
  end if;
  return null;
end
$$;

create or replace trigger after_insert_current_job_tg
after insert on supaqueue.current_job
referencing new table as inserted
for each statement
execute function supaqueue.after_insert_current_job_tg_fn();
