-- What a run has room for, as it says in its pulses ("limits") and reports ("_next"): calls, bytes of
-- payloads, and within_ms, the longest timeout that still fits its isolate. What it does not say is
-- unlimited.

-- What the call of a job takes.
create or replace function supaqueue.needs_of(_job uuid, out status text, out timeout_ms integer, out bytes bigint, out unstarted integer)
language plpgsql
stable
set search_path = ''
as $$
begin
  select j.status, coalesce(j.timeout_ms, q.timeout_ms), supaqueue.bytes_of(j.id, case when pg_column_compression(j.payload) is null then pg_column_size(j.payload) end), j.unstarted
  into status, timeout_ms, bytes, unstarted
  from supaqueue.job j
  join supaqueue.queue q on q.id = j.queue
  where j.id = _job;
end
$$;

-- The size of the payload of a job. One that is stored in a few bytes, and not compressed (null), is not
-- measured exactly: to write it costs more than it matters.
create or replace function supaqueue.bytes_of(_job uuid, stored_bytes integer)
returns integer
language plpgsql
stable
set search_path = ''
as $$
begin
  if stored_bytes < 2000 then
    return stored_bytes;
  end if;
  return (select octet_length(j.payload::text) from supaqueue.job j where j.id = _job);
end
$$;

create or replace function supaqueue.fits(room jsonb, _timeout_ms integer, _bytes bigint)
returns boolean
language plpgsql
immutable
set search_path = ''
as $$
begin
  return coalesce(
    coalesce((room ->> 'calls')::numeric, 1) >= 1
    and _timeout_ms <= coalesce((room ->> 'within_ms')::numeric, _timeout_ms)
    and _bytes <= coalesce((room ->> 'bytes')::numeric, _bytes),
    false);
end
$$;

create or replace function supaqueue.room_after(room jsonb, _calls integer, _bytes bigint)
returns jsonb
language plpgsql
immutable
set search_path = ''
as $$
begin
  return room || jsonb_strip_nulls(jsonb_build_object(
    'calls', (room ->> 'calls')::numeric - _calls, 'bytes', (room ->> 'bytes')::numeric - _bytes));
end
$$;

-- What is left of the room of a run that has taken calls.
create or replace function supaqueue.room_left(room jsonb, _calls uuid[])
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  if _calls = '{}' then
    return room;
  end if;
  return supaqueue.room_after(room, cardinality(_calls), (
    select coalesce(sum(n.bytes), 0)
    from supaqueue.current_job c
    cross join lateral supaqueue.needs_of(c.job) n
    where c.id = any (_calls)
  )::bigint);
end
$$;

-- The first of the jobs, as many as there is room for together. A job that was held ready by runs that were
-- lost three times is not held any more: it may be what ends them.
create or replace function supaqueue.jobs_that_fit(_jobs uuid[], room jsonb, to_hold boolean default false)
returns uuid[]
language plpgsql
stable
set search_path = ''
as $$
begin
  return array(
    select f.id
    from (
      select s.id, s.number, bool_and(
        supaqueue.fits(room, s.timeout_ms, s.bytes::bigint) and s.number <= coalesce((room ->> 'calls')::numeric, s.number)
        and not (to_hold and s.unstarted >= 3)
      ) over (order by s.number) as fits
      from (
        select o.id, o.number, n.timeout_ms, n.unstarted, sum(n.bytes) over (order by o.number) as bytes
        from unnest(_jobs) with ordinality as o (id, number)
        cross join lateral supaqueue.needs_of(o.id) n
      ) s
    ) f
    where f.fits
    order by f.number
  );
end
$$;
