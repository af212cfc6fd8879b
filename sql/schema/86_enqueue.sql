create or replace function supaqueue.enqueue(
  queue_name text,
  payload jsonb default '{}',
  priority integer default 0,
  run_at timestamptz default now(),
  headers jsonb default null,
  max_attempts integer default null,
  timeout_ms integer default null,
  path text default null,
  key text default null,
  on_conflict text default 'keep',
  tenant text default null
)
returns uuid
language plpgsql
set search_path = public, extensions
as $$
declare
  new_job uuid;
begin
  if key is null and on_conflict = 'keep' then
    insert into supaqueue.job as j (queue, payload, priority, run_at, headers, max_attempts, timeout_ms, path, tenant)
    values (supaqueue.queue_id(queue_name), payload, priority, run_at, headers, max_attempts, timeout_ms, path, tenant)
    returning j.id into new_job;
    return new_job;
  end if;
  return (supaqueue.enqueue_outcome(
    queue_name, payload, priority, run_at, headers, max_attempts, timeout_ms, path, key, on_conflict, tenant)).job;
end
$$;
comment on function supaqueue.enqueue(text, jsonb, integer, timestamptz, jsonb, integer, integer, text, text, text, text) is
  'Puts a job in the queue of that name; returns its id, or that of the job that holds its key already';

-- The same, and says what happened: the job was inserted, or the holder of its key was kept, replaced,
-- postponed or merged, as on_conflict says. Only a holder that has not started is changed.
--
-- The holder may start, end or be deleted between a look at it and the next step: then it begins
-- again, so that what it says is true.
create or replace function supaqueue.enqueue_outcome(
  queue_name text,
  payload jsonb default '{}',
  priority integer default 0,
  run_at timestamptz default now(),
  headers jsonb default null,
  max_attempts integer default null,
  timeout_ms integer default null,
  path text default null,
  key text default null,
  on_conflict text default 'keep',
  tenant text default null,
  out job uuid,
  out outcome text
)
language plpgsql
set search_path = public, extensions
as $$
#variable_conflict use_column
declare
  _queue uuid := supaqueue.queue_id(queue_name);
  holder record;
begin
  perform supaqueue.check_on_conflict(payload, key, on_conflict);
  if key is null then
    job := supaqueue.enqueue(queue_name, payload, priority, run_at, headers, max_attempts, timeout_ms, path, tenant => tenant);
    outcome := 'inserted';
    return;
  end if;
  for attempt in 1 .. 100 loop
    insert into supaqueue.job as j (queue, payload, priority, run_at, headers, max_attempts, timeout_ms, path, key, tenant)
    values (_queue, payload, priority, run_at, headers, max_attempts, timeout_ms, path, key, tenant)
    on conflict (queue, key) where key_held_until is not null do nothing
    returning j.id into job;
    if job is not null then
      outcome := 'inserted';
      return;
    end if;
    holder := supaqueue.holder_of(_queue, key);
    -- Somebody was changing the holder when the insert looked whether its hold is over.
    continue when holder.until <= clock_timestamp() and attempt < 10;
    job := holder.job;
    if job is not null and (on_conflict = 'keep' or not supaqueue.is_unstarted(job)) then
      outcome := 'kept';
      return;
    elsif job is not null and supaqueue.change_holder(
      job, payload, priority, run_at, headers, max_attempts, timeout_ms, path, on_conflict, tenant)
    then
      outcome := case on_conflict when 'replace' then 'replaced' when 'postpone' then 'postponed' else 'merged' end;
      return;
    end if;
  end loop;
  raise exception 'cannot enqueue: the holder of the key % changed 100 times meanwhile', quote_literal(key)
    using errcode = 'serialization_failure', hint = 'Try again. A trigger on supaqueue.job that skips the insert has the same effect.';
end
$$;
comment on function supaqueue.enqueue_outcome(text, jsonb, integer, timestamptz, jsonb, integer, integer, text, text, text, text) is
  'Like enqueue; returns the id (job) and what happened (outcome): inserted, kept, replaced, postponed or merged';

create or replace function supaqueue.check_on_conflict(payload jsonb, key text, on_conflict text)
returns void
language plpgsql
set search_path = ''
as $$
begin
  if coalesce(on_conflict, '') not in ('keep', 'replace', 'postpone', 'merge') then
    raise exception 'cannot enqueue: on_conflict is %, not keep, replace, postpone or merge', coalesce(quote_literal(on_conflict), 'null')
      using errcode = 'invalid_parameter_value';
  elsif key is null and on_conflict <> 'keep' then
    raise exception 'cannot enqueue: on_conflict is %, but the job has no key', quote_literal(on_conflict)
      using errcode = 'invalid_parameter_value', hint = 'Add what the job is about, such as key => ''user 42''.';
  elsif on_conflict = 'merge' and coalesce(jsonb_typeof(payload), 'null') not in ('array', 'object') then
    raise exception 'cannot enqueue: on_conflict is ''merge'', but the payload is neither an array nor an object'
      using errcode = 'invalid_parameter_value', hint = 'Wrap it: jsonb_build_array(…).';
  end if;
end
$$;

create or replace function supaqueue.is_unstarted(_job uuid)
returns boolean
language plpgsql
set search_path = ''
as $$
begin
  return exists (select from supaqueue.job j where j.id = _job and j.status in ('pending', 'waiting') and j.attempts = 0);
end
$$;

-- Changes a job as on_conflict says. Returns false, and does not keep it locked, if it has started or
-- ended meanwhile.
create or replace function supaqueue.change_holder(
  _job uuid, _payload jsonb, _priority integer, _run_at timestamptz, _headers jsonb, _max_attempts integer,
  _timeout_ms integer, _path text, _on_conflict text, _tenant text
)
returns boolean
language plpgsql
set search_path = public, extensions
as $$
declare
  place refcursor;
  holder supaqueue.job;
begin
  -- Here, so that the handler's rollback releases it: its report may need the job.
  place := (supaqueue.lock_job(_job)).place;
  select j.* into holder from supaqueue.job j where j.id = _job;
  if holder.key_held_until is null or not supaqueue.is_unstarted(_job) then
    raise exception 'release the lock' using errcode = 'SQ001';
  elsif _on_conflict = 'merge' then
    update supaqueue.job j
    set payload = supaqueue.merged_payload(holder, _payload)
    where current of place;
  else
    update supaqueue.job j
    set payload = _payload, priority = _priority, headers = _headers, max_attempts = _max_attempts,
      timeout_ms = _timeout_ms, path = _path, tenant = _tenant,
      run_at = case
        when _on_conflict = 'replace' then j.run_at
        else (
          select case
            when q.postpone_at_most is null then _run_at
            else least(_run_at, greatest(j.run_at, j.created_at + q.postpone_at_most))
          end
          from supaqueue.queue q
          where q.id = j.queue
        )
      end
    where current of place;
  end if;
  if not found then
    perform supaqueue.refuse_skipped_update();
  end if;
  close place;
  return true;
exception
  when sqlstate 'SQ001' then
    return false;
end
$$;

create or replace function supaqueue.merged_payload(holder supaqueue.job, payload jsonb)
returns jsonb
language plpgsql
set search_path = ''
as $$
begin
  if jsonb_typeof(holder.payload) <> jsonb_typeof(payload) then
    raise exception 'cannot merge the payload (%) into that of job % (%), which holds the key %',
        jsonb_typeof(payload), holder.id, jsonb_typeof(holder.payload), quote_literal(holder.key)
      using errcode = 'invalid_parameter_value', hint = 'Two arrays can be merged, or two objects.';
  end if;
  return holder.payload || payload;
end
$$;
