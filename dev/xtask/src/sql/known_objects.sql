select set_config('supaqueue.known_objects', coalesce(string_agg(object, ' '), ''), true) as known_objects
from (
  select 'schema' || n.oid from pg_catalog.pg_namespace n where n.nspname = 'supaqueue'
  union all
  select case c.relkind when 'S' then 'sequence' else 'table' end || c.oid
  from pg_catalog.pg_class c
  where c.relnamespace = to_regnamespace('supaqueue')
  union all
  select 'function' || p.oid
  from pg_catalog.pg_proc p
  where p.pronamespace in (to_regnamespace('supaqueue'), 'public'::regnamespace)
) as known (object);
