-- Version :number of :part, assembled by `cargo xtask sql build`. It can be applied to any database, at any time: where this
-- version or a newer one is installed, it does nothing.

do $supaqueue$
declare
  installed integer;
begin

-- Whoever comes second finds the version of the first.
perform pg_advisory_xact_lock(hashtextextended('supaqueue.version', 0));
if to_regclass('supaqueue.version') is not null then
  select max(v.number) into installed from supaqueue.version v where v.part = ':part';
:needs_core
end if;
if installed >= :number then
  raise notice 'version :number of :part: nothing to do, this database has version %', installed;
  return;
elsif coalesce(installed, 0) <> :previous then
  raise exception 'cannot apply version :number of :part: this database has %', coalesce('version ' || installed, 'none')
    using errcode = 'object_not_in_prerequisite_state',
      hint = 'Nothing was changed. Apply the versions before it first; `supaqueue install --write-migration` writes them.';
end if;
-- Before anything is changed: a busy project uses the tables all the time.
if to_regproc('supaqueue.take_tables') is not null then
  perform supaqueue.take_tables();
end if;
