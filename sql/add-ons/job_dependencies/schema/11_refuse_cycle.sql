-- How the add-on reads its tables, here and in all that follows: row by row, by index, whatever the
-- statistics said when a session made its plans (see the core's dispatch). A join would be
-- the planner's to arrange, and it reads a table whole that was small then: a lateral
-- subquery with "offset 0" is not, and an "order by" in it asks for the index that has that
-- order. The rows of an update, or a delete, are found that way,
-- too, and named by their place (ctid). That is no way to name rows that the same statement
-- locks: it would not find the version that somebody else made meanwhile.

-- The jobs that depend on some jobs, directly or through others, and these themselves.
create or replace function supaqueue.reachable(jobs uuid[])
returns uuid[]
language sql
stable
set search_path = ''
as $$
  with recursive reached (job) as (
    select unnest(jobs)
    union
    select e.target
    from reached r
    cross join lateral (
      select d.target from supaqueue.job_dependencies d where d.source = r.job offset 0
    ) e
  )
  select coalesce(array_agg(r.job), '{}') from reached r
$$;

-- Refuses what would close a cycle with the dependencies that this transaction added.
--
-- A cycle goes through an added dependency, and so lies among what can be reached
-- from the added targets: nothing else is looked at.
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

  select supaqueue.cycle(array_agg(e.source::text), array_agg(e.target::text)) into members
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
