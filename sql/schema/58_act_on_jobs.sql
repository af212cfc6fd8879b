-- Does the action of an operation to jobs, and counts. Jobs that have changed since they were found do not count as
-- matched. Each of the others is done or refused: one that cannot be changed does not keep others from it.
create or replace function supaqueue.act_on_jobs(
  operation supaqueue.operation, _jobs uuid[], out matched integer, out refused integer, out last_refusal text
)
language plpgsql
set search_path = public, extensions
set lock_timeout = '200ms'
as $$
declare
  locked record := supaqueue.lock_jobs_to_act_on(operation.plan, _jobs);
  refusable uuid[];
  acted record;
begin
  matched := cardinality(locked.jobs) + cardinality(locked.busy);
  refused := cardinality(locked.busy);
  if refused > 0 then
    last_refusal := format('job %s: another transaction has locked it', locked.busy[1]);
  end if;
  -- Those are known before: as rows of the statement, each would write a warning to the server's log.
  refusable := supaqueue.refusable_jobs(operation, locked.jobs);
  if refusable <> '{}' then
    refused := refused + cardinality(refusable);
    last_refusal := supaqueue.refusal(operation.action, operation.changes, refusable[1]);
    locked.jobs := array(select unnest(locked.jobs) except select unnest(refusable));
  end if;
  acted := supaqueue.act_or_halve(operation, locked.jobs);
  refused := refused + acted.refused;
  last_refusal := coalesce(acted.last_refusal, last_refusal);
end
$$;

-- Locks those of the jobs that still match. A lock is waited for, but not for long: busy are those that others have.
create or replace function supaqueue.lock_jobs_to_act_on(f jsonb, _jobs uuid[], out jobs uuid[], out busy uuid[])
language plpgsql
set search_path = ''
set lock_timeout = '200ms'
as $$
declare
  query text := format('select array(select j.id from supaqueue.job j where j.id = any ($1) and %s order by j.id', supaqueue.filter_conditions(f));
begin
  busy := '{}';
  begin
    execute query || ' for no key update)' into jobs using _jobs;
    return;
  exception
    when lock_not_available then
      null;
  end;
  execute query || ' for no key update skip locked)' into jobs using _jobs;
  execute query || ')' into busy using array(select unnest(_jobs) except select unnest(jobs));
end
$$;

-- Those of the jobs, which are locked, that are to stay as they are.
create or replace function supaqueue.refusable_jobs(operation supaqueue.operation, _jobs uuid[])
returns uuid[]
language plpgsql
stable
set search_path = ''
as $$
begin
  return case
    when operation.action = 'retry' then array(
      select j.id
      from supaqueue.job j
      where j.id = any (_jobs)
        and (
          exists (select from supaqueue.current_job c where c.job = j.id)
          or j.key is not null and j.key_held_until is null and exists (
            select from supaqueue.job h
            where h.queue = j.queue and h.key = j.key and h.key_held_until is not null and h.key_held_until > clock_timestamp()
          )
        )
    )
    when operation.action = 'delete' or operation.changes ? 'queue' then array(
      select j.id from supaqueue.job j where j.id = any (_jobs) and j.status = 'in_progress'
    )
    else '{}'
  end;
end
$$;

-- Why a job was left as it is.
create or replace function supaqueue.refusal(_action text, _changes jsonb, _job uuid)
returns text
language plpgsql
stable
set search_path = ''
as $$
declare
  job supaqueue.job;
  holder uuid;
begin
  select j.* into job from supaqueue.job j where j.id = _job;
  if _action = 'retry' and job.key is not null and job.key_held_until is null then
    holder := (supaqueue.holder_of(job.queue, job.key)).job;
  end if;
  return format('job %s: ', _job) || case
    when _action = 'retry' and supaqueue.has_call(_job) then 'its call has not ended yet'
    when holder is not null then format('its key %L is held by job %s', job.key, holder)
    when _action = 'delete' and job.status = 'in_progress' then 'it is in progress; cancel it first'
    when _changes ? 'queue' and job.status = 'in_progress' then 'it is in progress, and stays in its queue until its call has ended'
    else 'a trigger on supaqueue.job skipped it (its function returned null), or changed it back'
  end;
end
$$;

-- Does the action to jobs that are locked. If that fails, it halves them until the ones that cannot be changed are
-- alone. Errors that are not about the jobs end the piece; it is tried again.
create or replace function supaqueue.act_or_halve(operation supaqueue.operation, _jobs uuid[], out refused integer, out last_refusal text)
language plpgsql
set search_path = public, extensions
as $$
declare
  half integer := cardinality(_jobs) / 2;
  left_over uuid[];
  part record;
begin
  refused := 0;
  if _jobs = '{}' then
    return;
  end if;
  begin
    left_over := supaqueue.act(operation, _jobs);
    refused := cardinality(left_over);
    if refused > 0 then
      last_refusal := supaqueue.refusal(operation.action, operation.changes, left_over[1]);
    end if;
  exception
    when others then
      if sqlstate ~ '^(40|53|57|58)' then
        raise;
      elsif half = 0 then
        refused := 1;
        last_refusal := format('job %s: %s', _jobs[1], left(sqlerrm, 1000));
        return;
      end if;
      for part in select a.* from (values (_jobs[:half]), (_jobs[half + 1:])) h (jobs) cross join lateral supaqueue.act_or_halve(operation, h.jobs) a loop
        refused := refused + part.refused;
        last_refusal := coalesce(part.last_refusal, last_refusal);
      end loop;
  end;
end
$$;

-- Does the action to jobs, and returns those that are as before.
--
-- Dynamic, so that each statement is planned for the table as it is now. Deferred constraints of the user's are checked here, so
-- that they refuse a job, and not the commit of the piece. Users' triggers run within it: they find what they
-- expect in the search path, and none of our planner settings (see plan_settings).
create or replace function supaqueue.act(operation supaqueue.operation, _jobs uuid[])
returns uuid[]
language plpgsql
set search_path = public, extensions
set client_min_messages = error
as $$
declare
  c jsonb := operation.changes;
  constraints text := (
    select string_agg(format('%I.%I', n.nspname, d.conname), ', ')
    from pg_catalog.pg_constraint d
    join pg_catalog.pg_namespace n on n.oid = d.connamespace
    where d.condeferred and (d.conrelid = 'supaqueue.job'::regclass or d.confrelid = 'supaqueue.job'::regclass)
  );
  changed uuid[];
  as_before uuid[];
begin
  case operation.action
    when 'retry' then
      execute 'update supaqueue.job j set status = ''pending'' where j.id = any ($1)' using _jobs;
      as_before := array(select j.id from supaqueue.job j where j.id = any (_jobs) and j.ended_as is not null);
    when 'cancel' then
      execute 'update supaqueue.job j set status = ''cancelled'' where j.id = any ($1)' using _jobs;
      as_before := array(select j.id from supaqueue.job j where j.id = any (_jobs) and j.status <> 'cancelled');
    when 'delete' then
      execute 'delete from supaqueue.job j where j.id = any ($1)' using _jobs;
      as_before := array(select j.id from supaqueue.job j where j.id = any (_jobs));
    when 'change' then
      execute format('with changed as (update supaqueue.job j set %s where j.id = any ($1) returning j.id) select array_agg(c.id) from changed c', (
        select string_agg(format('%I = %s', n.name, case n.name
          when 'payload' then format('%L::jsonb', c -> n.name)
          when 'headers' then format('%L::jsonb', nullif(c -> n.name, 'null'))
          when 'queue' then format('%L', supaqueue.queue_id(c ->> n.name))
          else format('%L', c ->> n.name)
        end), ', ')
        from jsonb_object_keys(c) n (name)
      ))
      into changed using _jobs;
      as_before := array(select unnest(_jobs) except select unnest(changed));
  end case;
  if constraints is not null then
    execute format('set constraints %s immediate', constraints);
  end if;
  return as_before;
end
$$;
