-- Milliseconds as an interval.
create or replace function supaqueue.ms(milliseconds double precision)
returns interval
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
begin
  return milliseconds * interval '1 millisecond';
end
$$;
