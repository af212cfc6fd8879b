-- How to run a command of the program for this database. Without an option it would mean the linked project, which is
-- production as a rule; and the database does not know its own: a copy has the Vault of the original.
create or replace function supaqueue.command(name text)
returns text
language sql
immutable
set search_path = ''
as $$
  select format('`supaqueue %s --project-ref <ref>` with the ref of this very project or preview branch (for a local stack --local, for any other Postgres --db-url)', name)
$$;
