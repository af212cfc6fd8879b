create table supaqueue.version (
  part text not null,
  number integer not null,
  name text not null,
  applied_at timestamptz not null default now(),
  finished_at timestamptz,
  primary key (part, number)
);
alter table supaqueue.version enable row level security;

comment on table supaqueue.version is 'The versions of Supaqueue and of its add-ons that were applied to this database; the highest number of a part is its version';
comment on column supaqueue.version.part is 'supaqueue, or the name of an add-on';
comment on column supaqueue.version.finished_at is 'When the work that an upgrade does after its transaction was done, such as building indexes concurrently; null: `supaqueue install` for this database still has to do it';
