-- Which jobs a filter matches. list_jobs, preview and operations all read jobs through this, so that they
-- agree.
--
-- A filter, as check_filter returns it, is read as one or two segments, one after the other. Each is an order in which an
-- index has the jobs, so that a call reads the next ones only, and a place in it that an unchanged job
-- keeps:
--
--   ids, key, tenant, living, all   by id
--   ended, error_group              by finished_at and id
--
-- The rest of the filter is conditions on each job that is read. Operations add the field "until": what was inserted, or
-- ended, after it does not match; and "segments", so that theirs stay the same.

-- The statuses that jobs which match can have.
create or replace function supaqueue.filter_statuses(f jsonb)
returns text[]
language plpgsql
immutable
set search_path = ''
as $$
begin
  return array(
    select s.name
    from unnest(array['pending', 'waiting', 'in_progress', 'successful', 'failed', 'cancelled']) with ordinality as s (name, number)
    where (not f ? 'status' or f -> 'status' ? s.name)
      and (s.number > 3 or not f ?| array['finished_after', 'finished_before'])
      and (s.name = 'failed' or not f ? 'error_group')
    order by s.number
  );
end
$$;

-- The segments of a filter. Those of a queue, a status, a key, a tenant or a group are merged from an index range for each
-- queue and each of these; more than 150 would take longer to plan than to read jobs by id.
create or replace function supaqueue.filter_segments(f jsonb)
returns text[]
language plpgsql
stable
set search_path = ''
as $$
declare
  most constant integer := 150;
  statuses text[] := supaqueue.filter_statuses(f);
  ended integer := (select count(*) from unnest(statuses) s (name) where s.name in ('successful', 'failed', 'cancelled'));
  queues integer := coalesce(jsonb_array_length(f -> 'queue'), (select count(*) from (select from supaqueue.queue q limit 151) q));
begin
  if f ? 'segments' then
    return array(select jsonb_array_elements_text(f -> 'segments'));
  elsif statuses = '{}' or queues = 0 or exists (select from jsonb_each(f) c (name, value) where c.value = '[]' and c.name <> 'payload') then
    return '{}';
  elsif f ? 'ids' then
    return '{ids}';
  elsif f ? 'error_group' and queues * jsonb_array_length(f -> 'error_group') <= most then
    return '{error_group}';
  elsif f ? 'key' and queues * jsonb_array_length(f -> 'key') <= most then
    return '{key}';
  elsif f ? 'tenant' and queues * jsonb_array_length(f -> 'tenant') <= most then
    return '{tenant}';
  elsif cardinality(statuses) = 6 and not f ? 'queue' or queues * ended > most then
    return '{all}';
  end if;
  return case when ended < cardinality(statuses) then array['living'] else '{}' end
    || case when ended > 0 then array['ended'] else '{}' end;
end
$$;

-- The query of a segment: id, "at" (null where the order is by id) and whether the other conditions hold ("fits"), of its jobs
-- from the place after "after" on, the newest first, or the oldest if it goes forward.
create or replace function supaqueue.segment_query(segment text, f jsonb, after jsonb, is_forward boolean)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  direction text := case when is_forward then 'asc' else 'desc' end;
  beyond text := case when is_forward then '>' else '<' end;
  after_id text := format(' and id %s %L', beyond, after ->> 'id');
  statuses text[] := supaqueue.filter_statuses(f);
  queues uuid[] := case
    when f ? 'queue' then array(select q.id::uuid from jsonb_array_elements_text(f -> 'queue') q (id))
    else array(select q.id from supaqueue.queue q limit 151)
  end;
  fits text := coalesce(supaqueue.filter_conditions(f, segment), 'true');
  places text;
  range text;
  ranges text;
begin
  if after ->> 'id' is null then
    after_id := '';
  end if;
  if segment = 'ids' then
    places := format('select unnest(%L::uuid[])', array(select i.id from jsonb_array_elements_text(f -> 'ids') i (id)));
  elsif segment = 'living' and supaqueue.living_jobs(f, 50001) < 50001 then
    places := supaqueue.places_query(f);
  end if;
  if places is not null then
    return format(
      'select s.id, null::timestamptz as at, exists (select from supaqueue.job j where j.id = s.id and %s) as fits
       from (select id from (%s) places (id) where true%s order by id %s) s', fits, places, after_id, direction);
  elsif segment in ('all', 'living') then
    return format('select id, null::timestamptz as at, %s as fits from supaqueue.job j where true%s order by id %s', fits, after_id, direction);
  elsif segment in ('key', 'tenant') then
    select string_agg(format('(select id, null::timestamptz as at, %s as fits from supaqueue.job j where queue = %L and %I = %L%s order by id %s)',
      fits, q.id, segment, v.value, after_id, direction), ' union all ')
    into ranges
    from unnest(queues) q (id)
    cross join jsonb_array_elements_text(f -> segment) v (value);
    return format('select id, at, fits from (%s) ranges order by id %s', ranges, direction);
  end if;
  range := format(' and finished_at is not null and finished_at >= %L and finished_at < %L and finished_at <= %L',
    coalesce(f ->> 'finished_after', '-infinity'), coalesce(f ->> 'finished_before', 'infinity'), coalesce(f ->> 'until', 'infinity'));
  if after ->> 'id' is not null then
    range := range || format(' and (finished_at, id) %s (%L, %L)', beyond, after ->> 'at', after ->> 'id');
  end if;
  select string_agg(format('(select id, finished_at as at, %s as fits from supaqueue.job j where queue = %L and %I = %L%s order by finished_at %6$s, id %6$s)',
    fits, q.id, r.name, r.value, range, direction), ' union all ')
  into ranges
  from unnest(queues) q (id)
  cross join (
    select 'error_group' as name, g.name as value
    from jsonb_array_elements_text(f -> 'error_group') g (name)
    where segment = 'error_group'
    union all
    select 'ended_as', s.name
    from unnest(statuses) s (name)
    where segment = 'ended' and s.name in ('successful', 'failed', 'cancelled')
  ) r;
  return format('select id, at, fits from (%s) ranges order by at %2$s, id %2$s', ranges, direction);
end
$$;

-- The places of the living jobs of a filter's queues and statuses.
create or replace function supaqueue.places_query(f jsonb)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  statuses text[] := supaqueue.filter_statuses(f);
  queues text := case
    when f ? 'queue' then format(' and queue = any (%L)', array(select q.id from jsonb_array_elements_text(f -> 'queue') q (id)))
    else ''
  end;
begin
  return (
    select string_agg(p.query || queues, ' union ')
    from (values
      ('pending', 'select job from supaqueue.ready_job where true'),
      ('pending', 'select job from supaqueue.held_job where until < ''infinity'''),
      ('waiting', 'select job from supaqueue.held_job where until = ''infinity'''),
      ('in_progress', 'select job from supaqueue.current_job where true'),
      -- Their calls have ended.
      ('in_progress', 'select job from supaqueue.unfinished where step = ''settle'' and job is not null')
    ) as p (status, query)
    where p.status = any (statuses)
  );
end
$$;

-- How many there are, counted up to a limit.
create or replace function supaqueue.living_jobs(f jsonb, _limit integer)
returns integer
language plpgsql
stable
set search_path = ''
as $$
declare
  number integer;
begin
  execute format('select count(*) from (select from (%s) places (id) limit %s) counted', replace(supaqueue.places_query(f), ' union ', ' union all '), _limit)
  into number;
  return number;
end
$$;

-- The conditions on a job that a segment does not see to, on j; null: there are none.
create or replace function supaqueue.filter_conditions(f jsonb, segment text default 'all')
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  statuses text[] := supaqueue.filter_statuses(f);
  conditions text[] := '{}';
  in_segment text[] := case segment
    when 'ended' then array['queue', 'status', 'finished_after', 'finished_before']
    when 'error_group' then array['queue', 'error_group', 'finished_after', 'finished_before']
    when 'key' then array['queue', 'key']
    when 'tenant' then array['queue', 'tenant']
    when 'ids' then array['ids']
    else '{}'
  end;
  living constant text[] := array['pending', 'waiting', 'in_progress'];
begin
  if segment = 'living' then
    statuses := array(select s.name from unnest(statuses) s (name) where s.name = any (living));
  end if;
  if segment not in ('ended') and cardinality(statuses) < 6 then
    conditions := conditions || format('j.status = any (%L)', statuses);
  end if;
  select conditions || coalesce(array_agg(format(
    case c.name
      when 'queue' then 'j.queue = any (%L::uuid[])'
      when 'ids' then 'j.id = any (%L::uuid[])'
      when 'key' then 'j.key = any (%L::text[])'
      when 'tenant' then 'j.tenant = any (%L::text[])'
      when 'error_group' then 'j.error_group = any (%L::text[])'
      when 'http_status' then 'j.http_status = any (%L::integer[])'
      when 'created_after' then 'j.created_at >= %L'
      when 'created_before' then 'j.created_at < %L'
      when 'finished_after' then 'j.finished_at >= %L'
      when 'finished_before' then 'j.finished_at < %L'
      when 'payload' then 'j.payload @> %L::jsonb'
      when 'until' then 'j.created_at <= %1$L and (j.finished_at is null or j.finished_at <= %1$L)'
    end,
    case when jsonb_typeof(c.value) = 'array' and c.name <> 'payload' then array(select jsonb_array_elements_text(c.value))::text else case c.name when 'payload' then c.value::text else c.value #>> '{}' end end)
    order by c.name), '{}')
  into conditions
  from jsonb_each(f) c (name, value)
  where c.name not in ('status', 'segments') and c.name <> all (in_segment);
  return nullif(array_to_string(conditions, ' and '), '');
end
$$;

-- The next jobs that match, at most _limit, and at most "budget" that were examined. next: from where to go on, null: these were the
-- last ones.
create or replace function supaqueue.find_jobs(
  f jsonb, after jsonb, _limit integer, budget integer, is_forward boolean,
  out jobs uuid[], out next jsonb, out examined integer
)
language plpgsql
stable
set search_path = ''
as $$
declare
  segments text[] := supaqueue.filter_segments(f);
  most integer;
  matching record;
begin
  jobs := '{}';
  examined := 0;
  if after is not null then
    segments := segments[array_position(segments, after ->> 'segment'):];
    if segments is null then
      raise exception 'cannot list jobs: there are more or fewer queues than when the first page was read'
        using errcode = 'invalid_parameter_value', hint = 'Start with the first page again: pass null as the cursor.';
    end if;
  end if;
  for segment_number in 1 .. cardinality(segments) loop
    most := _limit - cardinality(jobs) + 1;
    -- The walk ends with the page. Where it does not fill it, its last row is known, too.
    execute format(
      'with walk as materialized (select id, at, fits, row_number() over () as n from (%s limit %s) segment)
       select m.*, l.n as last_n, l.id as last_id, l.at as last_at
       from (
         select coalesce(array_agg(w.id order by w.n), ''{}'') as ids, array_agg(w.at order by w.n) as ats, max(w.n) as n
         from (select * from walk where fits limit %s) w
       ) m
       left join lateral (select * from walk where cardinality(m.ids) < %s order by n desc limit 1) l on true',
      supaqueue.segment_query(segments[segment_number], f, after, is_forward), budget - examined, most, most)
    into matching;
    if cardinality(matching.ids) = most then
      -- The one too many says that there are more.
      jobs := jobs || trim_array(matching.ids, 1);
      examined := examined + matching.n - 1;
      next := jsonb_build_object('segment', segments[segment_number], 'id', matching.ids[most - 1], 'at', matching.ats[most - 1]);
      exit;
    end if;
    jobs := jobs || matching.ids;
    examined := examined + coalesce(matching.last_n, 0);
    if examined >= budget then
      next := jsonb_build_object('segment', segments[segment_number], 'id', matching.last_id, 'at', matching.last_at);
      exit;
    end if;
    after := null;
  end loop;
end
$$;
