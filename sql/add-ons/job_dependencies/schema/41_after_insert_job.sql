-- Sets jobs to waiting that are inserted after a dependency of which they are the target.
create or replace function supaqueue.hold_inserted_jobs_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform supaqueue.hold_jobs(array(select i.id from inserted i));
  return null;
end
$$;

create or replace trigger hold_inserted_jobs_tg
after insert on supaqueue.job
referencing new table as inserted
for each statement
when (current_setting('supaqueue.has_early_dependencies', true) = 'on')
execute function supaqueue.hold_inserted_jobs_tg_fn();
