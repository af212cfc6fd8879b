-- Every object of the schemas supaqueue and public with its definition, owner,
-- privileges and comment, one per line: two databases with the same lines have
-- the same dump.
with schema as (
  select n.oid, n.nspname from pg_namespace n where n.nspname in ('supaqueue', 'public')
)
select line from (
  select 'schema ' || s.nspname || ' ' || coalesce(n.nspacl::text, '') || ' ' || coalesce(obj_description(s.oid, 'pg_namespace'), '') as line
  from schema s join pg_namespace n on n.oid = s.oid
  where s.nspname = 'supaqueue'
  union all
  select 'relation ' || c.oid::regclass || ' ' || c.relkind::text || ' ' || pg_get_userbyid(c.relowner) || ' ' || coalesce(c.relacl::text, '')
    || ' ' || coalesce(c.reloptions::text, '') || ' ' || c.relrowsecurity || ' ' || coalesce(obj_description(c.oid, 'pg_class'), '')
    || case when c.relkind = 'v' then pg_get_viewdef(c.oid) else '' end
  from pg_class c join schema s on s.oid = c.relnamespace
  union all
  select 'column ' || a.attrelid::regclass || '.' || a.attname || ' ' || a.attnum || ' ' || format_type(a.atttypid, a.atttypmod)
    || ' ' || a.attnotnull || ' ' || a.attidentity::text || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
    || ' ' || coalesce(col_description(a.attrelid, a.attnum), '')
  from pg_attribute a
  join pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'v')
  join schema s on s.oid = c.relnamespace
  left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attnum > 0 and not a.attisdropped
  union all
  select 'constraint ' || k.conrelid::regclass || ' ' || k.conname || ' ' || pg_get_constraintdef(k.oid)
  from pg_constraint k join schema s on s.oid = k.connamespace
  where k.conrelid <> 0
  union all
  select 'index ' || pg_get_indexdef(i.indexrelid)
  from pg_index i join pg_class c on c.oid = i.indexrelid join schema s on s.oid = c.relnamespace
  union all
  select 'trigger ' || pg_get_triggerdef(t.oid) || ' ' || t.tgenabled::text
  from pg_trigger t join pg_class c on c.oid = t.tgrelid join schema s on s.oid = c.relnamespace
  where not t.tgisinternal
  union all
  select 'function ' || pg_get_functiondef(p.oid) || ' ' || pg_get_userbyid(p.proowner) || ' ' || coalesce(p.proacl::text, '')
    || ' ' || coalesce(obj_description(p.oid, 'pg_proc'), '')
  from pg_proc p join schema s on s.oid = p.pronamespace
) dump
order by line collate "C"
