-- What an error has in common with others of the same cause: the HTTP status, and the message without ids,
-- numbers and quoted text. At most 200 characters, whatever the message is.
create or replace function supaqueue.error_group(http_status integer, message text)
returns text
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
declare
  kind text := left(message, 1000);
begin
  -- Spaces, control characters, and those that change the direction of text.
  kind := regexp_replace(kind, '[\u0001-\u0020\u007f-\u00a0\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+', ' ', 'g');
  -- The query of a URL; quoted text, but not an apostrophe; e-mail addresses; words with a digit (numbers, uuids,
  -- hexadecimal ids, times) and very long ones.
  kind := regexp_replace(kind, '(://[^ "''<>`?#]*)[?#][^ "''<>`]*', '\1?…', 'g');
  kind := regexp_replace(kind, '"[^"]*"|`[^`]*`|[“„][^”“]*[”“]|«[^»]*»|(?<!\w)''[^'']*''(?!\w)', '…', 'g');
  kind := regexp_replace(kind, '[\w.%+-]+@[\w-]+(\.[\w-]+)*', '…', 'g');
  kind := regexp_replace(kind, '\w*\d\w*|\w{33,}', '…', 'g');
  kind := regexp_replace(kind, '…([-.,:/+]*…)+', '…', 'g');
  return left(concat_ws(' ', http_status, coalesce(nullif(trim(kind), ''), 'no message')), 200);
end
$$;
comment on function supaqueue.error_group is 'An error without what differs from job to job: 500 cannot read property … of user …';

-- The group of the last of a job's errors.
create or replace function supaqueue.error_group_of(errors jsonb)
returns text
language plpgsql
immutable
set search_path = ''
as $$
begin
  return supaqueue.error_group(
    jsonb_path_query_first(errors -> -1, '$.status ? (@ >= 0 && @ <= 2147483647)')::integer, errors -> -1 ->> 'message');
end
$$;
