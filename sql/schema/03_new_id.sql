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
  return encode(
    set_bit(set_bit(
      overlay(
        uuid_send(gen_random_uuid())
        placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3)
        from 1 for 6
      ),
      52, 1), 53, 1),
    'hex')::uuid;
end
$$;
