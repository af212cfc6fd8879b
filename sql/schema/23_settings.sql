-- The settings. A missing row means the defaults, and is inserted again.
create or replace function supaqueue.settings()
returns supaqueue.setting
language plpgsql
set search_path = ''
as $$
declare
  setting supaqueue.setting;
begin
  select s.* into setting from supaqueue.setting s;
  if not found then
    insert into supaqueue.setting default values on conflict do nothing;
    select s.* into setting from supaqueue.setting s;
  end if;
  return setting;
end
$$;

-- So that the row can be updated from the beginning.
select supaqueue.settings();
