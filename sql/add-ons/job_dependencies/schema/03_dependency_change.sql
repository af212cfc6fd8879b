-- The changes of dependencies that a transaction has made and not yet counted. They
-- are counted at its end, so that a long one holds no lock that a report needs;
-- no row outlives its transaction, hence unlogged.
create unlogged table if not exists supaqueue.dependency_change (
  xact xid8 not null default pg_current_xact_id(),
  source uuid not null,
  target uuid not null,
  on_failure text not null,
  is_added boolean not null,
  is_first boolean not null
) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

create index if not exists dependency_change_xact on supaqueue.dependency_change (xact);

comment on table supaqueue.dependency_change is 'Changes of job dependencies until the end of their transaction; kept by Supaqueue';
comment on column supaqueue.dependency_change.is_first is 'Whether it is the one whose trigger counts all of the transaction';

-- Two transactions that add dependencies to the same jobs take turns on this row, so
-- that they cannot close a cycle between them. A row and not an advisory lock, so
-- that a transaction with an older snapshot is refused instead of not seeing it.
create table if not exists supaqueue.dependency_turn (
  is_only_row boolean primary key default true,
  number bigint not null default 0,
  constraint there_is_only_one_row check (is_only_row)
) with (fillfactor = 10);

insert into supaqueue.dependency_turn default values on conflict do nothing;

comment on table supaqueue.dependency_turn is 'Who adds job dependencies takes turns on its only row; kept by Supaqueue';
