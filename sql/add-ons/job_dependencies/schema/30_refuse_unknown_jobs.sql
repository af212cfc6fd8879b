-- Fails if a dependency that this transaction added, and did not delete again, names a job that
-- does not exist.
create or replace function supaqueue.refuse_unknown_jobs()
returns void
language plpgsql
set search_path = ''
as $$
declare
  added record;
begin
  select e.source, e.target, unknown.id as unknown into added
  from supaqueue.dependency_change c
  cross join lateral (
    select d.source, d.target from supaqueue.job_dependencies d where d.source = c.source and d.target = c.target offset 0
  ) e
  cross join lateral (values (c.source), (c.target)) as unknown (id)
  where c.xact = pg_current_xact_id() and c.is_added
    and not exists (select from supaqueue.job j where j.id = unknown.id offset 0)
  limit 1;
  if found then
    raise exception 'cannot make job % wait for job %: there is no job %', added.target, added.source, added.unknown
      using errcode = 'foreign_key_violation',
        hint = 'Insert the job in the same transaction as the dependency, or before it.';
  end if;
end
$$;
