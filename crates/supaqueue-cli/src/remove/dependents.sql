-- Lists the objects of others that `drop schema supaqueue cascade` would drop.
with recursive ours as (
  select 'pg_catalog.pg_class'::regclass as class, c.oid from pg_catalog.pg_class c
  where c.relnamespace = to_regnamespace('supaqueue')
  union all
  select 'pg_catalog.pg_proc'::regclass, p.oid from pg_catalog.pg_proc p
  where p.pronamespace = to_regnamespace('supaqueue')
    or (p.pronamespace = to_regnamespace('public') and p.proname in ('end_current_job', 'end_current_jobs', 'supaqueue_pulse', 'supaqueue_enqueue', 'supaqueue_enqueue_many'))
),
view as (
  select distinct r.ev_class as oid
  from ours
  join pg_catalog.pg_depend d on d.refclassid = ours.class and d.refobjid = ours.oid
  join pg_catalog.pg_rewrite r on d.classid = 'pg_catalog.pg_rewrite'::regclass and r.oid = d.objid
  where r.ev_class not in (select o.oid from ours o)
  union
  select r.ev_class
  from view
  join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = view.oid
  join pg_catalog.pg_rewrite r on d.classid = 'pg_catalog.pg_rewrite'::regclass and r.oid = d.objid
  where r.ev_class <> view.oid
),
dependent as (
  select format('foreign key %I of %s', c.conname, c.conrelid::regclass) as name
  from pg_catalog.pg_constraint c
  join pg_catalog.pg_class referenced on referenced.oid = c.confrelid
  join pg_catalog.pg_class referencing on referencing.oid = c.conrelid
  where c.contype = 'f' and c.conparentid = 0
    and referenced.relnamespace = to_regnamespace('supaqueue')
    and referencing.relnamespace <> referenced.relnamespace
  union all
  select format('view %s', view.oid::regclass) from view
  union all
  select format('trigger %I on %s', t.tgname, t.tgrelid::regclass)
  from pg_catalog.pg_trigger t
  join pg_catalog.pg_class c on c.oid = t.tgrelid
  join pg_catalog.pg_proc p on p.oid = t.tgfoid
  where not t.tgisinternal and c.relnamespace = to_regnamespace('supaqueue') and p.pronamespace <> c.relnamespace
)
select jsonb_build_object(
  'has_schema', to_regnamespace('supaqueue') is not null,
  'dependents', coalesce(jsonb_agg(dependent.name order by dependent.name), '[]')
) as result
from dependent;
