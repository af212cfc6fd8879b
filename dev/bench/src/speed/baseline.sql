-- The baseline: one pg_net call per job, to a function that awaits the target and then reports. The
-- report starts the next job. It has no leases, retries, signatures or counters.
create schema baseline;

create table baseline.job (
  id bigint generated always as identity primary key,
  payload jsonb not null,
  status text not null default 'pending',
  result jsonb,
  finished_at timestamptz
);
create index on baseline.job (id) where status = 'pending';
create index on baseline.job (finished_at);

create function baseline.start(jobs integer)
returns void
language sql
as $$
  with started as (
    update baseline.job j
    set status = 'in_progress'
    where j.id in (
      select n.id from baseline.job n where n.status = 'pending' order by n.id limit jobs for update skip locked
    )
    returning j.id, j.payload
  )
  select net.http_post(
    (select s.decrypted_secret from vault.decrypted_secrets s where s.name = 'supaqueue_url') || '/functions/v1/baseline',
    jsonb_build_object('id', started.id, 'payload', started.payload))
  from started
$$;

create function public.report_baseline(id bigint, result jsonb)
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  update baseline.job j
  set status = 'successful', result = report_baseline.result, finished_at = clock_timestamp()
  where j.id = report_baseline.id;
  perform baseline.start(1);
end
$$;
revoke execute on function public.report_baseline from public, anon, authenticated;
