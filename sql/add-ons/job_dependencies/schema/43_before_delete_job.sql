-- Makes retention keep a source until all its targets have finished.
create or replace function supaqueue.keep_source_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  if exists (
    select from supaqueue.job_dependencies e
    cross join lateral (select t.status from supaqueue.job t where t.id = e.target offset 0) j
    where e.source = old.id and j.status in ('pending', 'waiting', 'in_progress')
  ) then
    return null;
  end if;
  return old;
end
$$;

create or replace trigger keep_source_tg
before delete on supaqueue.job
for each row when (current_setting('supaqueue.is_retention', true) = 'on')
execute function supaqueue.keep_source_tg_fn();
