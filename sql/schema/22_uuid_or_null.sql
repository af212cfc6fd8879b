-- The UUID in a text, or null where it is none.
create or replace function supaqueue.uuid_or_null(value text)
returns uuid
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
begin
  if value ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
    return value::uuid;
  end if;
  return null;
end
$$;
