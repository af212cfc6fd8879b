-- Deletes dependencies by their place, without counting them.
create or replace function supaqueue.delete_edges(_edges tid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  outer_depth text := coalesce(current_setting('supaqueue.own_change_depth', true), '');
begin
  perform set_config('supaqueue.own_change_depth', pg_trigger_depth()::text, true);
  delete from supaqueue.job_dependencies e where e.ctid = any (_edges);
  perform set_config('supaqueue.own_change_depth', outer_depth, true);
end
$$;
