-- What ended in each minute of each queue, counted by the tick: see count_ended_jobs. Charts are drawn
-- from it. No foreign key: counting would wait for a transaction that deletes a queue.
create table supaqueue.minute (
  queue uuid not null,
  at timestamptz not null,
  started integer not null,
  succeeded integer not null,
  failed integer not null,
  cancelled integer not null,
  retried integer not null,
  wait integer[] not null,
  run integer[] not null,
  primary key (queue, at)
) with (fillfactor = 80);
alter table supaqueue.minute enable row level security;
create index minute_at on supaqueue.minute (at);

comment on table supaqueue.minute is 'What ended in each minute, per queue and (with the queue 00000000-0000-0000-0000-000000000000) in all queues; written by the tick, read with supaqueue.chart()';
comment on column supaqueue.minute.at is 'The beginning of the minute. All that a job did counts to the minute in which it ended';
comment on column supaqueue.minute.started is 'The attempts of the jobs that ended';
comment on column supaqueue.minute.retried is 'Of those, the attempts after the first one of each job';
comment on column supaqueue.minute.wait is 'A histogram of the time from when the last attempt was due to its start: the numbers of jobs up to each of supaqueue.histogram_bounds(), and above';
comment on column supaqueue.minute.run is 'A histogram of the duration of the last attempt';

-- The same per hour, so that a chart of a month does not read 43,200 rows.
create table supaqueue.hour (like supaqueue.minute including all) with (fillfactor = 80);
alter table supaqueue.hour enable row level security;

comment on table supaqueue.hour is 'What ended in each hour, as in supaqueue.minute';
comment on column supaqueue.hour.at is 'The beginning of the hour';

-- How far each queue is counted, and its totals since it was created, for metrics().
create table supaqueue.counted (
  queue uuid primary key,
  until timestamptz not null,
  started bigint not null default 0,
  succeeded bigint not null default 0,
  failed bigint not null default 0,
  cancelled bigint not null default 0,
  retried bigint not null default 0,
  wait bigint[] not null default '{}',
  run bigint[] not null default '{}',
  wait_ms bigint not null default 0,
  run_ms bigint not null default 0
) with (fillfactor = 50);
alter table supaqueue.counted enable row level security;

comment on table supaqueue.counted is 'How far the ended jobs of each queue are counted, and their totals; kept by Supaqueue';
comment on column supaqueue.counted.until is 'All jobs that ended up to this time are counted';
comment on column supaqueue.counted.wait_ms is 'The sum of what wait counts, in milliseconds; run_ms that of run';
