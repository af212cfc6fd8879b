-- Deletes finished jobs that their queue no longer keeps, the oldest first, at
-- most retention_batch of them; returns how many.
--
-- An add-on that must keep a job from this finds the setting
-- supaqueue.is_retention 'on' in a trigger, and may then skip the row.
create or replace function supaqueue.delete_finished_jobs()
returns bigint
language plpgsql
set search_path = ''
as $$
declare
  batch integer := (select s.retention_batch from supaqueue.setting s);
  old_jobs uuid[] := array(
    select old.id
    from supaqueue.queue q
    cross join lateral (values
      ('successful', q.keep_successful_for), ('cancelled', q.keep_successful_for), ('failed', q.keep_failed_for)
    ) as kept (status, duration)
    cross join lateral (
      select f.id
      from supaqueue.job f
      where f.queue = q.id and f.status = kept.status and f.finished_at < now() - kept.duration
      order by f.finished_at
      limit batch
      for update skip locked
    ) old
    where kept.duration is not null
    limit batch
  );
  deleted bigint;
begin
  if old_jobs = '{}' then
    return 0;
  end if;
  perform set_config('supaqueue.is_retention', 'on', true);
  delete from supaqueue.job j where j.id = any (old_jobs);
  get diagnostics deleted = row_count;
  perform set_config('supaqueue.is_retention', 'off', true);
  return deleted;
end
$$;
