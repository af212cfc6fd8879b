-- Whether the address of a function, a slash and this path are an address of that function still, for every server on
-- the way: a path with dot segments would lead elsewhere, with the project's key. Encoded dots and slashes count, since
-- a URL parser takes %2e for a dot (https://url.spec.whatwg.org/#double-dot-path-segment), and servers may decode %2f.
create or replace function supaqueue.is_below_function(path text)
returns boolean
language sql
immutable
strict
parallel safe
set search_path = ''
as $$
  select path !~* '^([^?]*(/|%2f))?(/|%2f|(\.|%2e){1,2}(/|%2f|\?|$))'
$$;
