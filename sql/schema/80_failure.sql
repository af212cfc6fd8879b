-- The failed jobs by error_group. Bounded, whatever there is: the queues with the latest failures first, of
-- each the groups of its last 1,000 failures and 100 others, until there are max_groups. Each is counted up
-- to 100,001 jobs.
create or replace function supaqueue.failures(queue_name text default null, max_groups integer default 1000)
returns table (
  queue text, error_group text, jobs bigint, first_at timestamptz, last_at timestamptz, last_job uuid, http_status integer,
  message text
)
language plpgsql
stable
set search_path = ''
as $$
begin
  return query
  select
    g.name, g.error_group, c.number, f.finished_at, l.finished_at, l.id,
    jsonb_path_query_first(l.errors -> -1, '$.status ? (@ >= 0 && @ <= 2147483647)')::integer,
    left(l.errors -> -1 ->> 'message', 500)
  from (
    select q.id, q.name, e.error_group
    from (
      select o.id, o.name, last.finished_at
      from supaqueue.queue o
      cross join lateral (
        select j.finished_at from supaqueue.job j
        where j.queue = o.id and j.ended_as = 'failed' and j.finished_at is not null
        order by j.finished_at desc
        limit 1
      ) last
      where failures.queue_name is null or o.name = failures.queue_name
      order by last.finished_at desc
    ) q
    cross join lateral (
      select r.error_group
      from (
        (
          select j.error_group, 1 as preference from supaqueue.job j
          where j.queue = q.id and j.ended_as = 'failed' and j.finished_at is not null
          order by j.finished_at desc
          limit 1000
        )
        union all
        (
          -- From one group to the next through the index.
          with recursive found (error_group) as (
            (
              select j.error_group from supaqueue.job j
              where j.queue = q.id and j.error_group is not null
              order by j.error_group
              limit 1
            )
            union all
            select (
              select j.error_group from supaqueue.job j
              where j.queue = q.id and j.error_group > found.error_group
              order by j.error_group
              limit 1
            )
            from found
            where found.error_group is not null
          )
          select f.error_group, 2 from found f where f.error_group is not null limit 100
        )
      ) r
      where r.error_group is not null
      group by r.error_group
      order by min(r.preference)
    ) e
    limit failures.max_groups
  ) g
  cross join lateral (
    select count(*) as number
    from (select from supaqueue.job j where j.queue = g.id and j.error_group = g.error_group limit 100001) n
  ) c
  cross join lateral (
    select j.finished_at from supaqueue.job j
    where j.queue = g.id and j.error_group = g.error_group
    order by j.finished_at
    limit 1
  ) f
  cross join lateral (
    select j.id, j.finished_at, j.errors from supaqueue.job j
    where j.queue = g.id and j.error_group = g.error_group
    order by j.finished_at desc
    limit 1
  ) l
  order by l.finished_at desc;
end
$$;
comment on function supaqueue.failures is 'The rows of the view failure, of one queue or (null) of all, at most so many';

create or replace view supaqueue.failure with (security_invoker = true) as
select * from supaqueue.failures();
comment on view supaqueue.failure is 'Failed jobs by cause: at most 1,000 groups, those of the latest failures first; jobs is counted up to 100,001';
comment on column supaqueue.failure.error_group is 'HTTP status and message without ids, numbers and quoted text: see supaqueue.error_group()';
comment on column supaqueue.failure.last_job is 'The job that failed last, with its HTTP status and message';
