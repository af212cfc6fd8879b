-- A page of the jobs that match a filter (see check_filter and find_jobs).
--
-- Returns {"jobs": […], "next": text or null, "examined": number}. "next" is the cursor of the next page. A page
-- looks at 10,000 jobs at most, so it may have fewer jobs than asked for, or none, and still a next one.
create or replace function supaqueue.list_jobs(filter jsonb default '{}', page_size integer default 50, "cursor" text default null)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  f jsonb := supaqueue.check_filter(filter);
  page record;
begin
  if page_size is null or page_size not between 1 and 1000 then
    raise exception 'cannot list jobs: page_size is %', coalesce(page_size::text, 'null')
      using errcode = 'invalid_parameter_value', hint = 'It is between 1 and 1000.';
  end if;
  page := supaqueue.find_jobs(f, supaqueue.read_cursor("cursor", f), page_size, 10000, false);
  return jsonb_build_object(
    'jobs', supaqueue.job_summaries(page.jobs),
    'next', supaqueue.write_cursor(page.next, f),
    'examined', page.examined);
end
$$;
comment on function supaqueue.list_jobs is 'A page of the jobs that match a filter such as {"queue": "emails", "status": "failed"}; "next" is the cursor of the next page';

create or replace function supaqueue.job_summaries(_jobs uuid[])
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object(
      'id', j.id, 'queue', q.name, 'status', j.status, 'key', j.key, 'tenant', j.tenant, 'priority', j.priority, 'run_at', j.run_at,
      'created_at', j.created_at, 'started_at', j.started_at, 'finished_at', j.finished_at, 'attempts', j.attempts,
      'max_attempts', coalesce(j.max_attempts, q.max_attempts), 'http_status', j.http_status, 'duration_ms', j.duration_ms,
      'error_group', j.error_group, 'error', left(j.errors -> -1 ->> 'message', 500)) order by l.number), '[]')
    from unnest(_jobs) with ordinality as l (id, number)
    cross join lateral (select o.* from supaqueue.job o where o.id = l.id offset 0) j
    join supaqueue.queue q on q.id = j.queue
  );
end
$$;

-- A cursor is a place of find_jobs, and a part of the digest of the filter, without which it means nothing.
create or replace function supaqueue.write_cursor(place jsonb, f jsonb)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  return translate(encode(convert_to((place || jsonb_build_object('filter', left(md5(f::text), 8)))::text, 'UTF8'), 'base64'), E'+/=\n', '-_');
end
$$;

create or replace function supaqueue.read_cursor("cursor" text, f jsonb)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  place jsonb;
begin
  if "cursor" is null then
    return null;
  end if;
  begin
    place := convert_from(decode(rpad(translate("cursor", '-_', '+/'), (length("cursor") + 3) / 4 * 4, '='), 'base64'), 'UTF8');
    perform (place ->> 'id')::uuid, (place ->> 'at')::timestamptz;
  exception
    when data_exception then place := null;
  end;
  if jsonb_typeof(place) is distinct from 'object' or place ->> 'segment' is null then
    raise exception 'cannot list jobs: the cursor % is malformed', quote_literal(left("cursor", 100))
      using errcode = 'invalid_parameter_value', hint = 'Pass "next" of the page before; null for the first page.';
  elsif place ->> 'filter' is distinct from left(md5(f::text), 8) then
    raise exception 'cannot list jobs: the cursor belongs to another filter'
      using errcode = 'invalid_parameter_value', hint = 'Start with the first page of this filter: pass null.';
  end if;
  return place - 'filter';
end
$$;
