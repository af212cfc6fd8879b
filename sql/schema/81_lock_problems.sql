-- The sessions that hold locks of Supaqueue in an open transaction and do nothing. Reads none of the
-- tables that they may have locked, but for the names of queues, and goes on without those.
create or replace function supaqueue.lock_problems()
returns table (problem text, remedy text)
language plpgsql
stable
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  at timestamptz := clock_timestamp() - interval '30 seconds';
  session record;
  keys jsonb;
  held text;
begin
  for session in
    select a.pid, a.usename, a.application_name, a.state_change, left(regexp_replace(a.query, '\s+', ' ', 'g'), 80) as query
    from pg_catalog.pg_stat_activity a
    where a.datname = current_database() and a.state like 'idle in transaction%' and a.state_change < at
    order by a.state_change
    limit 100
  loop
    if keys is null then
      keys := supaqueue.lock_names();
    end if;
    select string_agg(distinct coalesce(l.relation::regclass::text, keys ->> supaqueue.lock_key(l.classid, l.objid)), ', ') into held
    from pg_catalog.pg_locks l
    left join pg_catalog.pg_class c on c.oid = l.relation and c.relkind = 'r' and c.relnamespace = 'supaqueue'::regnamespace
    where l.pid = session.pid and l.granted and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
      and (c.oid is not null and l.mode <> 'AccessShareLock' or l.locktype = 'advisory' and keys ? supaqueue.lock_key(l.classid, l.objid));
    continue when held is null;
    problem := format('a session has had a transaction open and idle since %s UTC, with locks on %s: process %s, %s%s; its last statement: %s',
      to_char(session.state_change at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS'), held, session.pid, session.usename,
      ', ' || nullif(session.application_name, ''), session.query);
    remedy := format('End that transaction. If its program does not, run: select pg_terminate_backend(%s);', session.pid);
    return next;
  end loop;
end
$$;

-- What the advisory locks of Supaqueue are for, by their keys.
create or replace function supaqueue.lock_names()
returns jsonb
language plpgsql
stable
set search_path = ''
set lock_timeout = '100ms'
as $$
declare
  names jsonb := jsonb_build_object(hashtextextended('supaqueue.tick', 0), 'the tick');
begin
  return names || (
    select coalesce(jsonb_object_agg(hashtextextended('supaqueue.queue:' || q.id, 0), 'queue ' || q.name), '{}')
    from supaqueue.queue q
  );
exception
  when lock_not_available then
    return names;
end
$$;

-- The key of an advisory lock, as pg_locks shows its halves.
create or replace function supaqueue.lock_key(_high oid, _low oid)
returns text
language sql
immutable
set search_path = ''
as $$
  select ((_high::bigint << 32) | _low::bigint)::text
$$;
