-- The wait before the next attempt: random between 0 and a bound that starts at
-- base and doubles with each attempt up to max ("full jitter"). In milliseconds.
create or replace function supaqueue.backoff_ms(attempts integer, base_ms integer, max_ms integer)
returns double precision
language plpgsql
volatile
set search_path = ''
as $$
begin
  return random() * least(max_ms, base_ms * power(2, least(greatest(attempts, 1) - 1, 40)));
end
$$;
