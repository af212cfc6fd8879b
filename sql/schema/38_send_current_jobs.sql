-- Sends current jobs to the supaqueue function, many in one request: at most
-- jobs_per_request and about bytes_per_request. A record above 1 MB is sent alone,
-- so that no request exceeds what the function accepts (6 MB).
create or replace function supaqueue.send_current_jobs(_current_jobs uuid[])
returns void
language plpgsql
set search_path = ''
as $$
begin
  with record as (
    select c.id, c.number, r.record, octet_length(r.record::text) as bytes
    from unnest(_current_jobs) with ordinality as c (id, number)
    cross join lateral supaqueue.record(c.id) as r (record)
    where r.record is not null
  ),
  place as (
    select
      r.*,
      case when r.bytes > 1000000 then r.number end as alone,
      row_number() over small - 1 as jobs_before,
      sum(r.bytes) over small - r.bytes as bytes_before
    from record r
    window small as (partition by r.bytes > 1000000 order by r.number)
  ),
  request as materialized (
    select
      array_agg(p.id) as ids,
      supaqueue.post(jsonb_build_object('current_jobs', jsonb_agg(p.record order by p.number))) as request_id
    from place p
    cross join supaqueue.settings() s
    group by p.alone, p.jobs_before / s.jobs_per_request, div(p.bytes_before, s.bytes_per_request)
  )
  update supaqueue.current_job c
  set request_id = request.request_id
  from request
  where c.id = any (request.ids);
end
$$;

create or replace function supaqueue.after_insert_current_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  -- Those that were handed out with a report have a lane already.
  if exists (select from inserted c where c.acknowledged_at is null) then
    perform supaqueue.send_current_jobs(array(
      select c.id from inserted c where c.acknowledged_at is null order by c.created_at, c.id
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
