-- A version 7 UUID (RFC 9562, section 5.7): 48 bits of milliseconds, then
-- random bits. Ids in order of time keep the primary keys' newest pages few,
-- so that the cost of a job does not grow with the table.
create or replace function supaqueue.new_id()
returns uuid
language plpgsql
volatile
parallel safe
set search_path = ''
as $$
begin
  return (
    lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0')
    || '7' || substr(gen_random_uuid()::text, 16)
  )::uuid;
end
$$;
