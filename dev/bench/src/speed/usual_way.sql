-- The usual way: one pg_net call for each job, to a function that awaits the target and reports;
-- the report starts the next job. No leases, no retries, no signature, no counts.
create schema usual_way;

create table usual_way.job (
  id bigint generated always as identity primary key,
  payload jsonb not null,
  status text not null default 'pending',
  result jsonb,
  finished_at timestamptz
);
create index on usual_way.job (id) where status = 'pending';
create index on usual_way.job (finished_at);

create function usual_way.start(jobs integer)
returns void
language sql
as $$
  with started as (
    update usual_way.job j
    set status = 'in_progress'
    where j.id in (
      select n.id from usual_way.job n where n.status = 'pending' order by n.id limit jobs for update skip locked
    )
    returning j.id, j.payload
  )
  select net.http_post(
    (select s.decrypted_secret from vault.decrypted_secrets s where s.name = 'supaqueue_url') || '/functions/v1/usual-way',
    jsonb_build_object('id', started.id, 'payload', started.payload))
  from started
$$;

create function public.report_usual_way(id bigint, result jsonb)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  update usual_way.job j
  set status = 'successful', result = report_usual_way.result, finished_at = clock_timestamp()
  where j.id = report_usual_way.id;
  perform usual_way.start(1);
end
$$;
revoke execute on function public.report_usual_way from public, anon, authenticated;
