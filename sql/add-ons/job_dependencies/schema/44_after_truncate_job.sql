-- Truncating the jobs deletes all dependencies.
create or replace function supaqueue.propagate_truncated_jobs_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform set_config('supaqueue.own_change_depth', pg_trigger_depth()::text, true);
  delete from supaqueue.job_dependencies e where true;
  delete from supaqueue.dependent_job d where true;
  perform set_config('supaqueue.own_change_depth', '', true);
  return null;
end
$$;

create or replace trigger propagate_truncated_jobs_tg
after truncate on supaqueue.job
for each statement
execute function supaqueue.propagate_truncated_jobs_tg_fn();
