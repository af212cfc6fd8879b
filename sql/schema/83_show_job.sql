-- All that there is to show of a job: see docs/reference.md. Null if there is no such job. However large the job is, what
-- this returns is bounded: of payload and result the first 100,000 characters, of errors the last 100 with 10,000 each, of sources and
-- targets the first 100.
create or replace function supaqueue.show_job(job uuid)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  _job supaqueue.job;
  payload text;
  result text;
  errors jsonb;
  edges jsonb := '{}';
begin
  select j.* into _job from supaqueue.job j where j.id = show_job.job;
  if not found then
    return null;
  end if;
  payload := _job.payload::text;
  result := _job.result::text;
  errors := _job.errors;
  _job.payload := '{}';
  _job.result := null;
  _job.errors := '[]';
  if to_regclass('supaqueue.job_dependencies') is not null then
    execute 'select jsonb_build_object(''sources'', supaqueue.edges_of($1, ''source''), ''targets'', supaqueue.edges_of($1, ''target''))'
    into edges using _job.id;
  end if;
  return jsonb_build_object(
    'explain', supaqueue.explain(_job.id),
    'job', to_jsonb(_job) - array['payload', 'result', 'errors'] || jsonb_build_object(
      'payload_text', left(payload, 100000), 'payload_bytes', octet_length(payload),
      'result_text', left(result, 100000), 'result_bytes', octet_length(result)),
    'queue', (select q.name from supaqueue.queue q where q.id = _job.queue),
    'attempts', supaqueue.attempts_of(_job, errors),
    'call', (
      select jsonb_build_object('state', c.state, 'worker', c.worker, 'run', c.run,
        'lease_until', coalesce(c.lease_until, (select r.lease_until from supaqueue.run r where r.id = c.run)), 'dispatches', c.dispatches)
      from supaqueue.current_job c
      where c.job = _job.id
    ),
    'sources', coalesce(edges -> 'sources', '[]'),
    'targets', coalesce(edges -> 'targets', '[]'),
    'schedule', (
      select s.name from supaqueue.schedule s where supaqueue.percent_encoded(s.name) = _job.headers ->> 'supaqueue-schedule' limit 1
    )
  );
end
$$;
comment on function supaqueue.show_job is 'All that there is to show of a job: why it does not run, its columns, attempts, call, sources and targets';

-- The attempts of a job, the first one first: those that failed, and the last one.
create or replace function supaqueue.attempts_of(job supaqueue.job, errors jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  attempts jsonb := (
    select coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
      'attempt', e.entry -> 'attempt', 'at', e.entry -> 'at', 'status', e.entry -> 'status', 'message', left(e.entry ->> 'message', 10000),
      'body', left(e.entry ->> 'body', 10000))) order by e.number), '[]')
    from jsonb_array_elements(errors) with ordinality as e (entry, number)
    where e.number > jsonb_array_length(errors) - 100
  );
  last_at timestamptz;
begin
  begin
    last_at := (attempts -> -1 ->> 'at')::timestamptz;
  exception
    when data_exception then null;
  end;
  if job.attempts = 0 or job.started_at is null then
    null;
  elsif attempts -> -1 ->> 'attempt' = job.attempts::text and last_at >= job.started_at then
    attempts := jsonb_set(attempts, '{-1}', attempts -> -1
      || jsonb_strip_nulls(jsonb_build_object('started_at', job.started_at, 'duration_ms', job.duration_ms)));
  elsif job.status not in ('pending', 'waiting') then
    attempts := attempts || jsonb_strip_nulls(jsonb_build_object('attempt', job.attempts, 'at', job.finished_at, 'started_at', job.started_at,
      'status', case when job.status = 'successful' then job.http_status end,
      'duration_ms', case when job.status = 'successful' then job.duration_ms end));
  end if;
  return attempts;
end
$$;
