-- Locks the counts of jobs, and of the targets that a change of the sources can affect, in the
-- order of their ids and all at once: locking more of them later could deadlock.
--
-- A source that succeeds affects only its own targets. One that fails or is retried also affects
-- the targets of those that it cancels or restores (is_transitive).
create or replace function supaqueue.lock_dependents(_jobs uuid[], _sources uuid[], is_transitive boolean)
returns void
language plpgsql
set search_path = ''
as $$
declare
  reached uuid[];
begin
  if is_transitive then
    reached := supaqueue.targets_of_failure(_sources);
  else
    reached := array(
      select e.target
      from unnest(_sources) as s (id)
      cross join lateral (select d.target from supaqueue.job_dependencies d where d.source = s.id offset 0) e
    );
  end if;
  perform
  from (select distinct unnest(_jobs || reached) as id order by id) c
  cross join lateral (select from supaqueue.dependent_job d where d.id = c.id for update) d;
end
$$;
