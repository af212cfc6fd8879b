-- Fails if the dependencies that this transaction added close a cycle.
--
-- Such a cycle contains an added dependency, so only jobs that can be reached from the
-- added targets are searched.
create or replace function supaqueue.refuse_cycle()
returns void
language plpgsql
set search_path = ''
as $$
declare
  me xid8 := pg_current_xact_id();
  reached uuid[] := supaqueue.reachable(array(
    select distinct c.target from supaqueue.dependency_change c where c.xact = me and c.is_added
  ));
  members text[];
begin
  if not exists (
    select c.source from supaqueue.dependency_change c where c.xact = me and c.is_added
    intersect
    select unnest(reached)
  ) then
    return;
  end if;

  select supaqueue.find_cycle(array_agg(e.source::text), array_agg(e.target::text)) into members
  from unnest(reached) as r (job)
  cross join lateral (
    select d.source, d.target from supaqueue.job_dependencies d where d.source = r.job offset 0
  ) e;
  if members is not null then
    raise exception 'cannot make job % wait for job %: they would wait for each other',
      members[1], members[cardinality(members)]
      using errcode = 'check_violation',
        detail = 'Each waits for the one before it: '
          || array_to_string(members[1:20], ' → ') || case when cardinality(members) > 20 then ' → …' else '' end
          || ' → ' || members[1];
  end if;
end
$$;
