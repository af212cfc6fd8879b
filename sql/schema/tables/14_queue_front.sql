-- Where the search for a queue's next job begins: at its priority, jobs before
-- run_at and position were taken already. A hint, and only that.
--
-- What was taken stays in the index until vacuum may remove it, and a
-- transaction left open for minutes forbids that: without the hint, each search
-- would walk over all that was taken since. A hint too far ahead delays a job, so
-- it is dropped when something older is committed (see dispatch), by each tick,
-- and left aside whenever a search that uses it finds too little.
create table supaqueue.queue_front (
  queue uuid primary key,
  priority integer not null,
  run_at timestamptz not null,
  position bigint not null
) with (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
alter table supaqueue.queue_front enable row level security;
comment on table supaqueue.queue_front is 'A hint for Supaqueue: where the search for a queue''s next job begins';
