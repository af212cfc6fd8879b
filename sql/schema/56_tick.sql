-- Everything periodic: inserts the jobs of schedules, takes back lost calls, starts what is due, does pieces of
-- operations, deletes what is no longer kept. Safe to run at any time, also twice at once.
--
-- It goes by steps, and pg_cron's command commits after each (see tick_command), so that no queue waits
-- for another and few locks are held. This procedure runs all of them in one transaction, and so
-- wherever a statement can be run. A procedure that commits could not be called by the SQL editor, nor
-- have a search_path of its own.
create or replace procedure supaqueue.tick()
language plpgsql
set search_path = ''
as $$
declare
  state jsonb := '{}';
  queues uuid[];
  lost uuid[];
begin
  while state is not null loop
    select t.* into state, queues, lost from supaqueue.tick_step(state, queues, lost) t;
  end loop;
end
$$;
comment on procedure supaqueue.tick is 'All periodic work of Supaqueue, in one transaction; pg_cron does the same step by step (see supaqueue.schedule_tick)';

-- What pg_cron runs. At another isolation level a step would not see what others have committed.
create or replace function supaqueue.tick_command()
returns text
language sql
immutable
set search_path = ''
as $$
  select 'do $tick$ declare s jsonb := ''{}''; q uuid[]; l uuid[]; begin while s is not null loop commit; '
    'set transaction isolation level read committed; select t.* into s, q, l from supaqueue.tick_step(s, q, l) t; end loop; end $tick$'
$$;

-- Does one step, and returns what the next one needs; a null state: it was the last one.
--
-- queues: those that are still to be looked after in this round, at most 1000; lost: those of them with losses.
create or replace function supaqueue.tick_step(inout state jsonb, inout queues uuid[], inout lost uuid[])
language plpgsql
set search_path = ''
as $$
declare
  at timestamptz := clock_timestamp();
  step text := coalesce(state ->> 'step', 'end runs');
  next_step text := case step
    when 'end runs' then 'schedules'
    when 'schedules' then 'queues'
    when 'queues' then 'check'
    when 'check' then 'pipelines'
    when 'pipelines' then 'operate'
    when 'operate' then 'release'
    when 'release' then 'count'
    when 'count' then 'delete'
    when 'delete' then 'purge'
  end;
  since timestamptz := coalesce((state ->> 'since')::timestamptz, at);
  has_more boolean := coalesce((state ->> 'has_more')::boolean, false);
begin
  if step = 'queues' then
    if queues is null then
      lost := supaqueue.queues_with_losses();
      queues := supaqueue.queues_to_look_after(lost);
      has_more := cardinality(queues) = 1000;
    end if;
    if queues <> '{}' then
      has_more := supaqueue.look_after(queues[1], queues[1] = any (lost)) or has_more;
      queues := queues[2:];
    end if;
    if queues <> '{}' then
      next_step := step;
    else
      queues := null;
      next_step := case when has_more and at < since + interval '20 seconds' then step else next_step end;
    end if;
  else
    if state ->> 'step' is null and not supaqueue.begin_tick(at) then
      state := null;
      return;
    end if;
    has_more := supaqueue.run_step(step);
    if next_step = 'operate' and not supaqueue.has_operation() then
      next_step := 'release';
    end if;
    -- Deletes one batch, as the setting says.
    next_step := case when has_more and step <> 'delete' and at < since + interval '5 seconds' then step else next_step end;
  end if;
  if next_step is null then
    update supaqueue.last_tick t set finished_at = clock_timestamp() where t.is_only_row;
  end if;
  state := case when next_step is not null then jsonb_build_object(
    'step', next_step, 'has_more', has_more, 'since', case when next_step = step then since else clock_timestamp() end) end;
end
$$;

-- Leaves a sign of life. Returns false if another tick does the same at this moment.
create or replace function supaqueue.begin_tick(_started_at timestamptz)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  if not pg_try_advisory_xact_lock(hashtextextended('supaqueue.tick', 0)) then
    return false;
  end if;
  update supaqueue.last_tick t
  set started_at = _started_at,
    is_check_urgent = t.is_check_urgent or t.server_started_at is distinct from pg_postmaster_start_time(),
    checked_until = case when t.server_started_at = pg_postmaster_start_time() then t.checked_until end,
    server_started_at = pg_postmaster_start_time()
  where t.is_only_row;
  if not found then
    insert into supaqueue.last_tick (started_at, server_started_at) values (_started_at, pg_postmaster_start_time());
  end if;
  return true;
end
$$;
