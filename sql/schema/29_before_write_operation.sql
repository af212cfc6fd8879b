-- Checks an operation that is inserted, so that one that cannot be done never starts, and keeps it as it is: only
-- status and per_second change later, and what Supaqueue keeps.
create or replace function supaqueue.before_write_operation_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' then
    new.created_at := clock_timestamp();
    new.plan := supaqueue.operation_plan(new.action, new.filter, new.changes) || jsonb_build_object('until', new.created_at);
    -- The queues and the segments of now, so that the cursor keeps its meaning when queues come and go.
    if not new.plan ? 'queue' and (select count(*) from supaqueue.queue q) <= 150 then
      new.plan := new.plan || jsonb_build_object('queue', (select coalesce(jsonb_agg(q.id), '[]') from supaqueue.queue q));
    end if;
    new.plan := new.plan || jsonb_build_object('segments', supaqueue.filter_segments(new.plan));
    new.paced_at := new.created_at;
    return new;
  end if;
  if (new.id, new.created_at, new.created_by, new.action, new.filter, new.changes, new.plan)
    is distinct from (old.id, old.created_at, old.created_by, old.action, old.filter, old.changes, old.plan)
  then
    raise exception 'cannot change what operation % does', old.id
      using errcode = 'object_not_in_prerequisite_state', hint = 'Stop it (update … set status = ''stopped''), and insert another one.';
  end if;
  if new.status <> old.status then
    if old.status = 'done' then
      raise exception 'cannot set operation % to %: it is done', old.id, new.status
        using errcode = 'object_not_in_prerequisite_state', hint = 'Insert another one.';
    elsif new.status = 'running' then
      new.finished_at := null;
      new.paced_at := clock_timestamp();
    else
      new.finished_at := clock_timestamp();
    end if;
  end if;
  return new;
end
$$;

create or replace trigger before_insert_operation_tg
before insert on supaqueue.operation
for each row
execute function supaqueue.before_write_operation_tg_fn();

create or replace trigger before_update_operation_tg
before update on supaqueue.operation
for each row
execute function supaqueue.before_write_operation_tg_fn();
