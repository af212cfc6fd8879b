-- Takes at most _limit rows of supaqueue.propagation out of the table, to go on with them: what is
-- still left then comes back (affected_targets). A row whose step differs is taken without others.
create or replace function supaqueue.take_propagations(_limit integer)
returns supaqueue.propagation[]
language sql
set search_path = ''
as $$
  with ready as (
    select p.source, p.number, p.from_target, p.step
    from supaqueue.propagation p
    where p.retry_at <= clock_timestamp()
      and not exists (
        select from supaqueue.propagation o where o.source = p.source and o.number < p.number offset 0
      )
    order by p.retry_at, p.since
    limit _limit
    for update skip locked
  ),
  chosen as (
    select r.*
    from (select t.*, row_number() over () as place, first_value(t.step) over () as first_step from ready t) r
    where r.step = r.first_step and r.place <= r.step
  ),
  deleted as (
    delete from supaqueue.propagation p
    using chosen c
    where p.source = c.source and p.number = c.number and p.from_target = c.from_target
    returning p as propagation
  )
  select coalesce(array_agg(d.propagation), '{}') from deleted d
$$;
