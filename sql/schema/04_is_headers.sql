-- Whether a value is an object of strings with names that HTTP allows
-- (RFC 9110, section 5.6.2) and values that an HTTP client sends: one line of Latin-1.
create or replace function supaqueue.is_headers(value jsonb)
returns boolean
language sql
immutable
strict
parallel safe
set search_path = ''
as $$
  select jsonb_typeof(value) = 'object' and not exists (
    select
    from jsonb_each(case jsonb_typeof(value) when 'object' then value else '{}' end) as header
    where jsonb_typeof(header.value) <> 'string'
      or header.key !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]+$'
      or header.value #>> '{}' ~ '[^\t\u0020-\u007E\u00A0-\u00FF]'
  )
$$;
