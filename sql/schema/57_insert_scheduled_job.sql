-- Inserts the job of a schedule for a time; returns its id, or null if there is one for that time, or a
-- previous one has not ended. With overlap replace, one that has not started is changed instead, and its
-- id returned.
--
-- The id follows from the schedule and the time, so that the primary key keeps it unique. If the key is
-- being inserted just now by another transaction, this waits for it, but not for long.
create or replace function supaqueue.insert_scheduled_job(
  schedule supaqueue.schedule, _at timestamptz, _run_at timestamptz, _overlap text, _id uuid default null
)
returns uuid
language plpgsql
set search_path = public, extensions
set lock_timeout = '1s'
as $$
declare
  job_key text := case when _overlap <> 'allow' then supaqueue.key_of(schedule) end;
  job_headers jsonb := coalesce(schedule.headers, '{}') || jsonb_build_object(
    'supaqueue-schedule', supaqueue.percent_encoded(schedule.name),
    'supaqueue-scheduled-at', to_char(_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'));
  new_job uuid;
  holder uuid;
begin
  insert into supaqueue.job as j (id, queue, payload, headers, priority, run_at, path, timeout_ms, max_attempts, tenant, key, key_held)
  values (
    coalesce(_id, supaqueue.scheduled_job_id(schedule.id, _at)), schedule.queue, schedule.payload, job_headers, schedule.priority,
    _run_at, schedule.path, schedule.timeout_ms, schedule.max_attempts, schedule.tenant, job_key,
    case when job_key is not null then 'unfinished' end)
  on conflict do nothing
  returning j.id into new_job;
  if new_job is null and _overlap = 'replace' then
    holder := (supaqueue.holder_of(schedule.queue, job_key)).job;
    if supaqueue.change_holder(
      holder, schedule.payload, schedule.priority, _run_at, job_headers, schedule.max_attempts, schedule.timeout_ms, schedule.path, 'replace',
      schedule.tenant)
    then
      return holder;
    end if;
  end if;
  return new_job;
end
$$;

-- The key that the jobs of a schedule hold, unless it lets them overlap.
create or replace function supaqueue.key_of(schedule supaqueue.schedule)
returns text
language sql
immutable
set search_path = ''
as $$
  select coalesce(schedule.key, 'schedule:' || schedule.name)
$$;

-- Like new_id, with the schedule instead of chance.
create or replace function supaqueue.scheduled_job_id(_schedule uuid, _at timestamptz)
returns uuid
language plpgsql
immutable
set search_path = ''
as $$
declare
  hash text := md5(_schedule::text);
begin
  return (
    lpad(to_hex((extract(epoch from _at) * 1000)::bigint), 12, '0') || '7' || left(hash, 3) || '8' || substr(hash, 4, 15)
  )::uuid;
end
$$;

-- As the header supaqueue-queue is written: all but printable ASCII, and %, as UTF-8.
create or replace function supaqueue.percent_encoded(value text)
returns text
language plpgsql
immutable
set search_path = ''
as $$
declare
  bytes bytea := convert_to(value, 'UTF8');
begin
  if value !~ '[^ -$&-~]' then
    return value;
  end if;
  return (
    select string_agg(case
        when get_byte(bytes, i) between 32 and 126 and get_byte(bytes, i) <> 37 then chr(get_byte(bytes, i))
        else '%' || upper(lpad(to_hex(get_byte(bytes, i)), 2, '0'))
      end, '' order by i)
    from generate_series(0, length(bytes) - 1) as i
  );
end
$$;
