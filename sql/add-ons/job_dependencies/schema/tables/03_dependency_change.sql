-- The changes of dependencies that a transaction has made and not yet counted. They
-- are counted at its end, so that a long one holds no lock that a report needs;
-- no row outlives its transaction, hence unlogged.
create unlogged table supaqueue.dependency_change (
  xact xid8 not null default pg_current_xact_id(),
  source uuid not null,
  target uuid not null,
  on_failure text not null,
  is_added boolean not null,
  is_first boolean not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
alter table supaqueue.dependency_change enable row level security;

create index dependency_change_xact on supaqueue.dependency_change (xact);

comment on table supaqueue.dependency_change is 'Changes of job dependencies until the end of their transaction; kept by Supaqueue';
comment on column supaqueue.dependency_change.is_first is 'Whether it is the one whose trigger counts all of the transaction';
