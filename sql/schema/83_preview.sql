-- How many jobs an operation with this action, filter and changes would act on, counted up to 100,001, and among the newest
-- 50,000 where a job must be read to know: is_exact false means "more than". Refuses what the insertion of the operation
-- would refuse.
create or replace function supaqueue.preview(
  action text, filter jsonb, changes jsonb default null, out matching bigint, out is_exact boolean
)
language plpgsql
stable
set search_path = ''
as $$
declare
  most constant integer := 100001;
  budget integer := 50000;
  f jsonb := supaqueue.operation_plan(action, filter, changes);
  segment text;
  conditions text;
  counted record;
begin
  matching := 0;
  is_exact := true;
  foreach segment in array supaqueue.filter_segments(f) loop
    conditions := supaqueue.filter_conditions(f, segment);
    execute format(
      'select count(*) as number, max(m.n) as examined
       from (select w.n from (select fits, row_number() over () as n from (%s limit %s) segment) w where w.fits limit %s) m',
      supaqueue.segment_query(segment, f, null, false), case when conditions is null then most else budget + 1 end, most - matching)
    into counted;
    matching := matching + counted.number;
    if conditions is not null then
      budget := budget - coalesce(counted.examined, 0);
    end if;
    is_exact := is_exact and budget >= 0 and matching < most;
    exit when not is_exact;
  end loop;
end
$$;
comment on function supaqueue.preview is 'How many jobs an operation would act on; is_exact false: more than that';
