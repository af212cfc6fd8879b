-- Refuses what would close a cycle with the dependencies that this transaction added.
--
-- A cycle goes through an added dependency, and so lies among what can be reached
-- from the added targets: nothing else is looked at.
create or replace function supaqueue.refuse_cycle()
returns void
language plpgsql
security definer
set search_path = ''
-- Only ever from job to job, by index, whatever the statistics say of a table just filled.
set enable_hashjoin = off
set enable_mergejoin = off
set enable_seqscan = off
as $$
declare
  me xid8 := pg_current_xact_id();
  reachable uuid[];
  members text[];
begin
  with recursive reached (job) as (
    select c.target from supaqueue.dependency_change c where c.xact = me and c.is_added
    union
    select e.target from reached r join supaqueue.job_dependencies e on e.source = r.job
  )
  select array_agg(r.job) into reachable from reached r;

  if not exists (
    select c.source from supaqueue.dependency_change c where c.xact = me and c.is_added
    intersect
    select unnest(reachable)
  ) then
    return;
  end if;

  select supaqueue.cycle(array_agg(e.source::text), array_agg(e.target::text)) into members
  from unnest(reachable) as r (job)
  join supaqueue.job_dependencies e on e.source = r.job;
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
