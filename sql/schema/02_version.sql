create table if not exists supaqueue.version (
  number integer primary key,
  applied_at timestamptz not null default now()
);
comment on table supaqueue.version is 'The migrations of Supaqueue that this database has; the highest number is its version';

-- An old migration, run again, must not put its older functions over newer ones.
do $$
declare
  installed integer := (select max(number) from supaqueue.version);
begin
  if installed > 2 then
    raise exception 'cannot apply migration 2 of supaqueue: this database is at version % already', installed
      using hint = 'Nothing was changed. Apply only the migrations after the version that is installed.';
  end if;
end
$$;

insert into supaqueue.version (number) values (2) on conflict do nothing;
