-- Sets jobs to waiting that are inserted after a dependency of which they are the target.
create or replace function supaqueue.hold_inserted_jobs_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
set enable_seqscan = off
set enable_bitmapscan = off
set enable_mergejoin = off
set jit = off
set plan_cache_mode = force_generic_plan
as $$
begin
  update supaqueue.job j
  set status = 'waiting'
  where j.id = any (array(
    select i.id from inserted i
    where i.status = 'pending' and exists (select from supaqueue.job_dependencies e where e.target = i.id offset 0)
  ));
  return null;
end
$$;

create or replace trigger hold_inserted_jobs_tg
after insert on supaqueue.job
referencing new table as inserted
for each statement
when (current_setting('supaqueue.has_early_dependencies', true) = 'on')
execute function supaqueue.hold_inserted_jobs_tg_fn();
