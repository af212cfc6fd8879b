-- The changes to dependencies that a transaction has made but not counted yet. They are
-- counted at the commit, so that a long transaction holds no lock that a report needs.
-- Unlogged, since no row outlives its transaction.
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

comment on table supaqueue.dependency_change is 'Changes to job dependencies until their transaction commits; maintained by Supaqueue';
comment on column supaqueue.dependency_change.is_first is 'Whether this is the row whose trigger counts all changes of the transaction';
