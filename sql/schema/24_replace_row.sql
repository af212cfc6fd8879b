-- A row that is loaded replaces the one that is there, so that the data of another database can be
-- loaded into one that has the schema. "enable always": dumps are loaded with triggers off.
create or replace function supaqueue.replace_row_tg_fn()
returns trigger
language plpgsql
set search_path = ''
as $$
begin
  case tg_table_name
    when 'version' then
      delete from supaqueue.version v where v.part = new.part and v.number = new.number;
    when 'setting' then
      delete from supaqueue.setting s where s.is_only_row;
    when 'last_tick' then
      delete from supaqueue.last_tick t where t.is_only_row;
    when 'queue' then
      -- One that a migration has made and that was not used.
      delete from supaqueue.worker w
      using supaqueue.queue q
      where w.queue = q.id and q.name = new.name and q.id <> new.id and not exists (select from supaqueue.job j where j.queue = q.id);
      delete from supaqueue.queue q
      where q.name = new.name and q.id <> new.id and not exists (select from supaqueue.job j where j.queue = q.id);
  end case;
  return new;
end
$$;

create or replace trigger replace_row_tg
before insert on supaqueue.version
for each row
execute function supaqueue.replace_row_tg_fn();
alter table supaqueue.version enable always trigger replace_row_tg;

create or replace trigger replace_row_tg
before insert on supaqueue.setting
for each row
execute function supaqueue.replace_row_tg_fn();
alter table supaqueue.setting enable always trigger replace_row_tg;

create or replace trigger replace_row_tg
before insert on supaqueue.last_tick
for each row
execute function supaqueue.replace_row_tg_fn();
alter table supaqueue.last_tick enable always trigger replace_row_tg;

create or replace trigger replace_row_tg
before insert on supaqueue.queue
for each row
execute function supaqueue.replace_row_tg_fn();
alter table supaqueue.queue enable replica trigger replace_row_tg;
