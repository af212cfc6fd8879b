-- Two transactions that add dependencies to the same jobs take turns by updating this row,
-- so that they cannot close a cycle together. It is a row rather than an advisory lock so
-- that a transaction with an older snapshot fails instead of missing the other's changes.
create table supaqueue.dependency_turn (
  is_only_row boolean primary key default true,
  number bigint not null default 0,
  constraint there_is_only_one_row check (is_only_row)
) with (fillfactor = 10);
alter table supaqueue.dependency_turn enable row level security;

insert into supaqueue.dependency_turn default values;

comment on table supaqueue.dependency_turn is 'Transactions that add job dependencies take turns on its only row; maintained by Supaqueue';
