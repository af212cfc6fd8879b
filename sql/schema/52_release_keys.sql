-- Releases keys whose hold is over. An insert of the same key does not wait for this; so that it can say
-- what is wrong when it cannot be done.
create or replace function supaqueue.release_keys()
returns boolean
language plpgsql
set search_path = ''
as $$
declare
  jobs uuid[] := supaqueue.expired_holders(1000);
  _job uuid;
  released integer := 0;
begin
  foreach _job in array jobs loop
    begin
      released := released + supaqueue.release_key(_job)::integer;
    exception
      when others then
        perform supaqueue.note_unfinished('release', j.queue, j.id, sqlstate, sqlerrm)
        from supaqueue.job j
        where j.id = _job;
    end;
  end loop;
  return released > 0 and cardinality(jobs) = 1000;
end
$$;

create or replace function supaqueue.expired_holders(_limit integer)
returns uuid[]
language plpgsql
set search_path = ''
as $$
begin
  return array(
    select j.id
    from supaqueue.job j
    where j.key_held_until <= clock_timestamp() and j.key_held_until < 'infinity'
      and not exists (
        select from supaqueue.unfinished u
        where u.job = j.id and u.step = 'release' and u.retry_at > clock_timestamp()
      )
    order by j.key_held_until
    limit _limit
  );
end
$$;
