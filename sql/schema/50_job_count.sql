-- How many jobs a queue has in each status, without counting them: each change of
-- supaqueue.job adds the differences it makes, the tick sums them up.
-- No row is ever updated by two jobs, so nobody waits for anybody.
create table if not exists supaqueue.job_count (
  queue uuid not null,
  status text not null,
  difference bigint not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
-- Room for the sums beside the differences.
alter table supaqueue.job_count set (fillfactor = 80);
-- It has no key: without this the tick fails where a publication has all tables.
alter table supaqueue.job_count replica identity full;
comment on table supaqueue.job_count is 'Differences in the number of jobs per queue and status; their sum is the number. See supaqueue.queue_status';

create or replace function supaqueue.count_inserted_jobs_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into supaqueue.job_count (queue, status, difference)
  select i.queue, i.status, count(*) from inserted i group by i.queue, i.status;
  perform supaqueue.note_run_at((select min(i.run_at) from inserted i where i.status = 'pending'));
  return null;
end
$$;

-- What follows an update of a job. For each row: the engine updates one job at a time, and
-- transition tables cost it a fifth of all that a report costs.
--
-- A job that a person or an add-on made pending, or changed while it is, wakes its queue. The end
-- of an attempt (from in_progress) does not: whoever ends it looks for the next job.
create or replace function supaqueue.after_update_job_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if new.status <> old.status or new.queue <> old.queue then
    insert into supaqueue.job_count (queue, status, difference)
    values (old.queue, old.status, -1), (new.queue, new.status, 1);
  end if;
  if new.status = 'pending' then
    perform supaqueue.note_run_at(new.run_at);
    if old.status <> 'in_progress' then
      perform supaqueue.wake_up_after_update(new.queue);
    end if;
  end if;
  return null;
end
$$;

create or replace function supaqueue.count_deleted_jobs_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  insert into supaqueue.job_count (queue, status, difference)
  select d.queue, d.status, -count(*) from deleted d group by d.queue, d.status;
  return null;
end
$$;

create or replace trigger count_inserted_jobs_tg
after insert on supaqueue.job
referencing new table as inserted
for each statement
execute function supaqueue.count_inserted_jobs_tg_fn();

-- In version 1 a constraint trigger, which cannot be replaced.
drop trigger if exists after_update_job_tg on supaqueue.job;
create trigger after_update_job_tg
after update on supaqueue.job
for each row
execute function supaqueue.after_update_job_tg_fn();

-- Of version 1.
drop trigger if exists count_updated_jobs_tg on supaqueue.job;
drop function if exists supaqueue.count_updated_jobs_tg_fn();

create or replace trigger count_deleted_jobs_tg
after delete on supaqueue.job
referencing old table as deleted
for each statement
execute function supaqueue.count_deleted_jobs_tg_fn();

create or replace function supaqueue.count_truncated_jobs_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  truncate supaqueue.job_count;
  return null;
end
$$;

create or replace trigger count_truncated_jobs_tg
after truncate on supaqueue.job
for each statement
execute function supaqueue.count_truncated_jobs_tg_fn();

-- Sums the differences up, and forgets deleted queues.
--
-- A sum is kept in the first of its rows, which lies at the beginning of the table: so
-- vacuum can cut off the end that a busy minute leaves, and the next look is short.
create or replace function supaqueue.sum_up_job_count()
returns void
language plpgsql
security definer
set search_path = ''
as $$
begin
  if not exists (
    select from supaqueue.job_count c
    group by c.queue, c.status
    having count(*) > 1 or not exists (select from supaqueue.queue q where q.id = c.queue)
  ) then
    return;
  end if;
  with taken as materialized (
    select c.ctid, c.queue, c.status, c.difference from supaqueue.job_count c for update skip locked
  ),
  total as materialized (
    select min(d.ctid) as first, array_agg(d.ctid) as rows, sum(d.difference) as difference, q.id as queue
    from taken d
    left join supaqueue.queue q on q.id = d.queue
    group by d.queue, d.status, q.id
  ),
  deleted as (
    delete from supaqueue.job_count c
    where c.ctid = any (array(
      select r.row
      from total t
      cross join lateral unnest(t.rows) as r (row)
      where r.row <> t.first or t.difference = 0 or t.queue is null
    ))
  )
  update supaqueue.job_count c
  set difference = t.difference
  from total t
  where c.ctid = t.first and t.difference <> 0 and t.queue is not null and cardinality(t.rows) > 1;
end
$$;
