-- Locks all tables and views of the schema until the end of the transaction, before
-- an upgrade changes them.
--
-- Taken one after the other as an upgrade reaches them, they end in a deadlock with
-- the transactions of a busy project, or end somebody's insert in one. So it is all
-- of them or none: what does not come soon, long before Postgres looks for a
-- deadlock, is given up with the rest, and tried again after a pause.
create or replace function supaqueue.take_tables()
returns void
language plpgsql
set search_path = ''
as $$
declare
  tables text := (
    select string_agg(c.oid::regclass::text, ', ' order by c.relkind, c.oid)
    from pg_catalog.pg_class c
    where c.relnamespace = 'supaqueue'::regnamespace and c.relkind in ('r', 'p', 'v')
  );
  lock_timeout text := current_setting('lock_timeout');
  deadline timestamptz := clock_timestamp() + interval '60 seconds';
begin
  loop
    begin
      perform set_config('lock_timeout', '200ms', true);
      execute 'lock table ' || tables || ' in access exclusive mode';
      exit;
    exception
      when lock_not_available then
        if clock_timestamp() > deadline then
          raise exception 'cannot lock the tables of supaqueue: others have used them for a minute'
            using errcode = 'lock_not_available',
              hint = 'Nothing was changed. Try again when no long transaction is open: select * from pg_stat_activity where state like ''idle in transaction%''.';
        end if;
    end;
    perform pg_sleep(random() * 0.2);
  end loop;
  perform set_config('lock_timeout', lock_timeout, true);
end
$$;

select supaqueue.take_tables();
