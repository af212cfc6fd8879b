-- The jobs that a queue with on_end inserts into another one for each job that has ended: in the
-- transaction that ends it, and by the tick if that fails. They carry the header supaqueue-on-end, and cause
-- no others.

-- Adds a job that is about to end to the list for on_end_tg, if its queue has on_end. The list is a setting
-- local to the transaction, as in wake_up. A statement that ends many jobs inserts 100 at a time: a longer list
-- takes longer to extend.
create or replace function supaqueue.note_end(_job uuid, _queue uuid, _status text)
returns void
language plpgsql
set search_path = ''
as $$
declare
  jobs text;
begin
  if not exists (
    select from supaqueue.queue q where q.id = _queue and q.on_end is not null and (_status = 'failed' or q.on_end_of = 'all')
  ) then
    return;
  end if;
  -- A job that could not be set back to pending (take_key_again) has not ended once more.
  if current_setting('supaqueue.is_restored', true) = 'on' then
    return;
  end if;
  jobs := coalesce(current_setting('supaqueue.ended_jobs', true), '');
  if length(jobs) >= 100 * 37 then
    -- Those are in the table with their new status; this one is not yet.
    perform supaqueue.insert_end_jobs();
    jobs := '';
  end if;
  perform set_config('supaqueue.ended_jobs', jobs || _job || ' ', true);
end
$$;

-- Inserts the jobs for those on the list, and empties it. Never fails.
create or replace function supaqueue.insert_end_jobs()
returns void
language plpgsql
set search_path = public, extensions
set lock_timeout = '100ms'
as $$
declare
  list text := current_setting('supaqueue.ended_jobs', true);
  jobs uuid[];
begin
  perform set_config('supaqueue.ended_jobs', '', true);
  begin
    jobs := string_to_array(rtrim(list), ' ');
    insert into supaqueue.job (queue, headers, payload)
    select e.on_end, e.headers, e.payload from supaqueue.end_jobs(jobs) e;
  exception
    when others then
      raise warning 'supaqueue left the jobs of on_end to the tick: %', sqlerrm using errcode = sqlstate;
      perform supaqueue.note_unfinished('on end', e.queue, e.job, sqlstate, sqlerrm,
        jsonb_build_object('headers', e.headers, 'payload', e.payload))
      from supaqueue.end_jobs(jobs) e;
  end;
end
$$;

-- What is to be inserted for jobs that have ended. Payloads and results above 1 MB are left out, so that no
-- job is refused because of its size.
create or replace function supaqueue.end_jobs(_jobs uuid[])
returns table (queue uuid, job uuid, on_end uuid, headers jsonb, payload jsonb)
language plpgsql
set search_path = ''
as $$
begin
  return query
  select
    j.queue, j.id, q.on_end, jsonb_build_object('supaqueue-on-end', j.id),
    jsonb_build_object('job', jsonb_build_object(
      'id', j.id, 'queue', q.name, 'status', j.status, 'attempts', j.attempts, 'http_status', j.http_status,
      'error', case when j.status <> 'successful' then left(j.errors -> -1 ->> 'message', 10000) end,
      'error_group', j.error_group, 'key', j.key, 'tenant', j.tenant, 'created_at', j.created_at, 'finished_at', j.finished_at,
      'payload', case when s.payload_bytes <= 1000000 then j.payload end,
      'result', case when s.result_bytes <= 1000000 then j.result end,
      'left_out', array_remove(array[
        case when s.payload_bytes > 1000000 then 'payload' end, case when s.result_bytes > 1000000 then 'result' end], null)))
  from (select distinct i.id from unnest(_jobs) as i (id)) i
  -- "offset 0": each job is looked up by its id, whatever the statistics say.
  cross join lateral (select t.* from supaqueue.job t where t.id = i.id offset 0) j
  join supaqueue.queue q on q.id = j.queue
  cross join lateral (
    select octet_length(j.payload::text) as payload_bytes, octet_length(j.result::text) as result_bytes offset 0
  ) s
  where j.finished_at is not null and q.on_end is not null and (j.status = 'failed' or q.on_end_of = 'all')
    and (j.headers ? 'supaqueue-on-end') is not true
  order by j.finished_at, j.id;
end
$$;

create or replace function supaqueue.on_end_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform supaqueue.insert_end_jobs();
  return null;
end
$$;

-- Per statement: its rows were noted before they were changed. The condition is false, and costs next to
-- nothing, where no queue has on_end.
create or replace trigger on_end_tg
after update on supaqueue.job
for each statement when (current_setting('supaqueue.ended_jobs', true) <> '')
execute function supaqueue.on_end_tg_fn();

-- Inserts the jobs of a queue's on_end that could not be inserted before; they go where on_end points by now.
create or replace function supaqueue.insert_end_jobs_again(_queue uuid)
returns void
language plpgsql
set search_path = public, extensions
set lock_timeout = '1s'
as $$
declare
  item record;
begin
  for item in select u.* from supaqueue.unfinished_ends(_queue, 1000) u loop
    begin
      insert into supaqueue.job (queue, headers, payload)
      select item.on_end, item.outcome -> 'headers', item.outcome -> 'payload' where item.on_end is not null;
      delete from supaqueue.unfinished u where u.id = item.id;
    exception
      when others then
        perform supaqueue.note_unfinished('on end', _queue, item.job, sqlstate, sqlerrm);
    end;
  end loop;
end
$$;

create or replace function supaqueue.unfinished_ends(_queue uuid, _limit integer)
returns table (id bigint, job uuid, on_end uuid, outcome jsonb)
language plpgsql
set search_path = ''
as $$
begin
  return query
  select u.id, u.job, q.on_end, u.outcome
  from supaqueue.unfinished u
  left join supaqueue.queue q on q.id = u.queue
  where u.queue = _queue and u.step = 'on end' and u.retry_at <= clock_timestamp()
  order by u.id
  limit _limit
  for update of u skip locked;
end
$$;
