-- The last _limit entries of a JSON list, in order.
create or replace function supaqueue.last_entries(list jsonb, _limit integer)
returns jsonb
language sql
immutable
parallel safe
set search_path = ''
as $$
  select case
    when jsonb_array_length(list) <= _limit then list
    else (
      select jsonb_agg(entry.value order by entry.ordinality)
      from jsonb_array_elements(list) with ordinality as entry
      where entry.ordinality > jsonb_array_length(list) - _limit
    )
  end
$$;
