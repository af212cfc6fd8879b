-- Pipelines for a page, the newest first, each with the newest of its first jobs (those that wait for none), by which it
-- is sorted. Jobs are counted up to 101 each.
--
-- A call looks at 500 sources at most, so a page may have fewer pipelines than page_size, and more to come.
create or replace function supaqueue.list_pipelines(page_size integer default 20, "cursor" text default null)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
declare
  max_jobs constant integer := 100;
  _source uuid := coalesce("cursor", 'ffffffff-ffff-ffff-ffff-ffffffffffff');
  pipelines jsonb := '[]';
  -- The jobs of those listed that are larger than what was read.
  seen uuid[] := '{}';
  members uuid[];
  is_whole boolean;
  _examined integer := 0;
begin
  while jsonb_array_length(pipelines) < least(greatest(page_size, 1), 100) and _examined < 500 loop
    _source := (
      select e.source from supaqueue.job_dependencies e where e.source < _source order by e.source desc limit 1
    );
    exit when _source is null;
    _examined := _examined + 1;
    continue when _source = any (seen) or exists (select from supaqueue.job_dependencies e where e.target = _source);
    members := array(select supaqueue.connected(_source, max_jobs + 1));
    is_whole := cardinality(members) <= max_jobs;
    continue when exists (
      select from unnest(members) as m (id)
      where m.id > _source and not exists (select from supaqueue.job_dependencies e where e.target = m.id)
    );
    if not is_whole then
      continue when members && seen;
      seen := seen || members;
    end if;
    pipelines := pipelines || (
      select jsonb_build_object(
        'job', _source,
        'queue', max(j.queue) filter (where j.id = _source),
        'created_at', max(j.created_at) filter (where j.id = _source),
        'finished_at', case when is_whole and bool_and(j.status in ('successful', 'failed', 'cancelled')) then max(j.finished_at) end,
        'is_whole', is_whole,
        'jobs', count(*),
        'pending', count(*) filter (where j.status = 'pending'),
        'waiting', count(*) filter (where j.status = 'waiting'),
        'in_progress', count(*) filter (where j.status = 'in_progress'),
        'successful', count(*) filter (where j.status = 'successful'),
        'failed', count(*) filter (where j.status = 'failed'),
        'cancelled', count(*) filter (where j.status = 'cancelled')
      )
      from unnest(members[:max_jobs]) as m (id)
      left join lateral (
        select t.id, t.status, t.created_at, t.finished_at, (select q.name from supaqueue.queue q where q.id = t.queue) as queue
        from supaqueue.job t
        where t.id = m.id
        offset 0
      ) j on true
    );
  end loop;
  return jsonb_build_object('pipelines', pipelines, 'next', _source, 'examined', _examined);
end
$$;
comment on function supaqueue.list_pipelines is 'A page of pipelines, as JSON: the newest first, each with its number of jobs per status; next is the cursor of the next page';
