-- Everything periodic: inserts the jobs of schedules, takes back lost calls, starts what is due, deletes what is no longer kept.
-- It commits queue by queue, so that no queue waits for another and few locks are held. Safe to run
-- at any time, also twice at once.
--
-- A procedure that commits cannot be called within a transaction, nor as one of several statements
-- of a request (SQL editor, Management API): `call supaqueue.tick(in_one_transaction => true)` can.
create or replace procedure supaqueue.tick(in_one_transaction boolean default false)
language plpgsql
as $$
declare
  started_at timestamptz := clock_timestamp();
  step_started_at timestamptz;
  has_more boolean;
  lost uuid[];
  _queue uuid;
  step text;
begin
  if not in_one_transaction then
    commit;
    set transaction isolation level read committed;
  end if;
  if not supaqueue.begin_tick(started_at) then
    return;
  end if;

  perform supaqueue.run_step('end runs');
  loop
    if not in_one_transaction then
      commit;
      set transaction isolation level read committed;
    end if;
    has_more := supaqueue.run_step('schedules');
    exit when not has_more or clock_timestamp() > started_at + interval '5 seconds';
  end loop;
  if not in_one_transaction then
    commit;
    set transaction isolation level read committed;
  end if;
  loop
    has_more := false;
    lost := supaqueue.queues_with_losses();
    foreach _queue in array supaqueue.queues_to_look_after(lost) loop
      has_more := supaqueue.look_after(_queue, _queue = any (lost)) or has_more;
      if not in_one_transaction then
        commit;
        set transaction isolation level read committed;
      end if;
    end loop;
    exit when not has_more or clock_timestamp() > started_at + interval '20 seconds';
  end loop;

  foreach step in array array['check', 'pipelines', 'release', 'delete', 'purge'] loop
    step_started_at := clock_timestamp();
    loop
      has_more := supaqueue.run_step(step);
      if not in_one_transaction then
        commit;
        set transaction isolation level read committed;
      end if;
      -- Deletes one batch, as the setting says.
      exit when not has_more or step = 'delete' or clock_timestamp() > step_started_at + interval '5 seconds';
    end loop;
  end loop;
  update supaqueue.last_tick t set finished_at = clock_timestamp() where t.is_only_row;
end
$$;
comment on procedure supaqueue.tick is 'All periodic work of Supaqueue; pg_cron runs it (see supaqueue.schedule_tick). In a transaction: call supaqueue.tick(in_one_transaction => true)';

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
