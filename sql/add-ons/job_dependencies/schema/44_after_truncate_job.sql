-- Truncating the jobs deletes all dependencies.
create or replace function supaqueue.propagate_truncated_jobs_tg_fn()
returns trigger
language plpgsql
security definer
set search_path = ''
as $$
begin
  perform supaqueue.delete_edges(array(select e.ctid from supaqueue.job_dependencies e));
  delete from supaqueue.dependent_job d where true;
  delete from supaqueue.propagation p where true;
  return null;
end
$$;

create or replace trigger propagate_truncated_jobs_tg
after truncate on supaqueue.job
for each statement
execute function supaqueue.propagate_truncated_jobs_tg_fn();
