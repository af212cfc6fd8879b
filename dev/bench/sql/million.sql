-- Fills an empty Supaqueue with 1,000,000 jobs of the last 30 days, and what is charted of these days:
--
--   900,000 successful, 60,000 failed in 12 groups, 20,000 cancelled, 15,000 pending that are due,
--   4,900 due later, 100 waiting; in 5 queues, of 5,000 tenants, a third of them with keys, with payloads of 20 bytes to 100 kB
--
-- Run it as postgres, in a database with Supaqueue and nothing else: psql -v ON_ERROR_STOP=1 -1 -f million.sql. Triggers are off meanwhile,
-- and the places of the jobs are added at the end. The queues with due jobs are paused, so that nothing starts. Vacuum
-- afterwards, as autovacuum will.

set local synchronous_commit = off;
set local work_mem = '64MB';
set local maintenance_work_mem = '256MB';
select setseed(0.5);

insert into supaqueue.queue (name, edge_function_name, is_paused, max_attempts)
values
  ('emails', 'send-email', false, 3), ('invoices', 'make-invoice', false, 5), ('thumbnails', 'resize', false, 3),
  ('webhooks', 'deliver', true, 8), ('reports', 'report', true, 1);
select supaqueue.set_workers(q.name, 10) from supaqueue.queue q;

create temporary table queues on commit drop as
select q.id, row_number() over (order by q.name) - 1 as number from supaqueue.queue q where q.name in ('emails', 'invoices', 'thumbnails', 'webhooks', 'reports');

create temporary table failures on commit drop as
select f.number - 1 as number, f.http_status, f.message, supaqueue.error_group(f.http_status, f.message) as error_group
from (values
  (1, 500, 'Internal Server Error: cannot read property ''id'' of undefined'),
  (2, 503, 'the e-mail service is busy'),
  (3, 429, 'Too Many Requests: limit of 10 per second'),
  (4, null, 'the call took longer than 60000 ms'),
  (5, 404, 'there is no customer 4711'),
  (6, 422, 'the address "nobody@" is not valid'),
  (7, 502, 'Bad Gateway'),
  (8, 401, 'the token has expired'),
  (9, null, 'connection refused'),
  (10, 546, 'WORKER_LIMIT: the function exceeded its memory'),
  (11, 400, 'unexpected token < in JSON at position 0'),
  (12, 409, 'invoice 01a22a4d-d791-772c-8b92-e4dd904fb427 exists')
) as f (number, http_status, message);
alter table supaqueue.job disable trigger user;
create temporary table indexes on commit drop as
select i.indexrelid::regclass::text as name, pg_get_indexdef(i.indexrelid) as definition
from pg_index i
where i.indrelid = 'supaqueue.job'::regclass and not i.indisprimary;
do $$
begin
  execute (select string_agg('drop index ' || i.name, ';') from indexes i);
end
$$;

insert into supaqueue.job (
  id, created_at, queue, priority, max_attempts, payload, tenant, key, key_held, key_held_until, run_at, updated_at, status, attempts,
  http_status, started_at, finished_at, duration_ms, result, errors, ended_as, error_group
)
select
  (lpad(to_hex((extract(epoch from g.created_at) * 1000)::bigint), 12, '0') || '7' || substr(g.hash, 1, 3) || '8' || substr(g.hash, 4, 15))::uuid,
  g.created_at, q.id, case when g.i % 50 = 0 then -1 else 0 end, case when g.i % 100 = 0 then 10 end,
  jsonb_build_object('order', g.i, 'customer', g.i % 5000, 'name', 'Customer ' || g.i % 5000) || case
    when g.i % 50000 = 0 then jsonb_build_object('document', repeat(g.hash, 3000))
    when g.i % 100 = 1 then jsonb_build_object('note', repeat(g.hash || ' ', 100))
    when g.i % 3 = 1 then jsonb_build_object('note', repeat(g.hash || ' ', 4))
    else '{}'
  end,
  'customer-' || g.i % 5000, case when g.i % 3 = 0 then 'order-' || g.i end, case when g.i % 3 = 0 then 'unfinished' end,
  case when g.i % 3 = 0 and g.ended_as is null then timestamptz 'infinity' end,
  case when g.kind = 'later' then now() + g.i % 10000 * interval '1 minute' + interval '1 minute' else g.created_at end,
  coalesce(g.finished_at, g.created_at), g.status,
  case when g.status = 'failed' then 3 when g.ended_as = 'successful' then 1 else 0 end,
  case g.ended_as when 'successful' then 200 when 'failed' then f.http_status end,
  case when g.ended_as in ('successful', 'failed') then g.finished_at - g.duration_ms * interval '1 ms' end,
  g.finished_at, case when g.ended_as in ('successful', 'failed') then g.duration_ms end,
  case when g.ended_as = 'successful' then jsonb_build_object('ok', true, 'id', g.i) end,
  case when g.ended_as = 'failed' then jsonb_build_array(
    jsonb_strip_nulls(jsonb_build_object('attempt', 1, 'at', g.created_at + interval '1 second', 'status', 503, 'message', 'the service is busy')),
    jsonb_strip_nulls(jsonb_build_object('attempt', 2, 'at', g.created_at + interval '3 seconds', 'status', f.http_status, 'message', f.message)),
    jsonb_strip_nulls(jsonb_build_object('attempt', 3, 'at', g.finished_at, 'status', f.http_status, 'message', f.message, 'body', repeat(g.hash, 4)))
  ) else '[]' end,
  g.ended_as, case when g.ended_as = 'failed' then f.error_group end
from (
  select
    k.*, case when k.kind in ('successful', 'failed', 'cancelled') then k.kind end as ended_as,
    case k.kind when 'due' then 'pending' when 'later' then 'pending' else k.kind end as status,
    case when k.kind in ('successful', 'failed', 'cancelled') then least(
      k.created_at + (case k.kind when 'failed' then 5000 else 20 end + k.duration_ms) * interval '1 ms', now()) end as finished_at
  from (
    select
      n.i, md5(n.i::text) as hash, now() - (1000000 - n.i) * interval '2.592 seconds' as created_at,
      (20 + 80 / (0.02 + random()))::integer as duration_ms,
      case
        when n.r < 60000 then 'failed'
        when n.r < 80000 then 'cancelled'
        when n.r < 80100 then 'waiting'
        when n.r < 85000 then 'later'
        when n.r < 100000 then 'due'
        else 'successful'
      end as kind
    -- A permutation: each remainder comes once.
    from (select i, i * 611953::bigint % 1000000 as r from generate_series(1, 1000000) i) n
  ) k
) g
join queues q on q.number = case when g.kind = 'due' then 2 + g.i % 2 * 2 else (g.i + g.i / 7) % 5 end
left join failures f on f.number = (g.i / 11) % 12 and g.kind = 'failed'
order by g.i;

do $$
begin
  execute (select string_agg(i.definition, ';') from indexes i);
end
$$;
alter table supaqueue.job enable trigger user;

-- Their places, without waking the queues up.
alter table supaqueue.ready_job disable trigger user;
insert into supaqueue.ready_job (queue, priority, run_at, position, job)
select j.queue, j.priority, j.run_at, j.position, j.id from supaqueue.job j where j.status = 'pending' and j.run_at <= now();
insert into supaqueue.held_job (job, queue, until)
select j.id, j.queue, case j.status when 'waiting' then 'infinity' else j.run_at end
from supaqueue.job j
where j.status = 'waiting' or j.status = 'pending' and j.run_at > now();
alter table supaqueue.ready_job enable trigger user;

insert into supaqueue.minute (queue, at, started, succeeded, failed, cancelled, retried, wait, run)
select
  q.id, m.at, n.jobs + n.jobs / 10, n.jobs - n.jobs / 15, n.jobs / 15, n.jobs / 50, n.jobs / 10,
  array(select (n.jobs * exp(-abs(b.number - 4)) / 3)::integer from generate_series(1, 14) b (number)),
  array(select (n.jobs * exp(-abs(b.number - 6)) / 3)::integer from generate_series(1, 14) b (number))
from (select id, number from queues union all select '00000000-0000-0000-0000-000000000000', 2) q
cross join generate_series(date_trunc('minute', now()) - interval '30 days', date_trunc('minute', now()) - interval '1 minute', '1 minute') m (at)
cross join lateral (select (20 + 15 * sin(extract(epoch from m.at) / 7200 + q.number) + 10 * random())::integer as jobs) n;
insert into supaqueue.hour (queue, at, started, succeeded, failed, cancelled, retried, wait, run)
select
  m.queue, date_trunc('hour', m.at, 'UTC'), sum(m.started), sum(m.succeeded), sum(m.failed), sum(m.cancelled), sum(m.retried),
  array(select s.number * 60 from unnest((array_agg(m.wait))[1:1]) as s (number)),
  array(select s.number * 60 from unnest((array_agg(m.run))[1:1]) as s (number))
from supaqueue.minute m
group by 1, 2;

analyze supaqueue.job, supaqueue.minute, supaqueue.hour, supaqueue.ready_job, supaqueue.held_job, supaqueue.queue, supaqueue.worker;
