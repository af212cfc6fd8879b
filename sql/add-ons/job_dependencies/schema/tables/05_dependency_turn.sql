-- Two transactions that add dependencies to the same jobs take turns on this row, so
-- that they cannot close a cycle between them. A row and not an advisory lock, so
-- that a transaction with an older snapshot is refused instead of not seeing it.
create table supaqueue.dependency_turn (
  is_only_row boolean primary key default true,
  number bigint not null default 0,
  constraint there_is_only_one_row check (is_only_row)
) with (fillfactor = 10);
alter table supaqueue.dependency_turn enable row level security;

insert into supaqueue.dependency_turn default values;

comment on table supaqueue.dependency_turn is 'Who adds job dependencies takes turns on its only row; kept by Supaqueue';
