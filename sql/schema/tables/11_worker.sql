create table supaqueue.worker (
  id uuid primary key default supaqueue.new_id(),
  created_at timestamptz not null default now(),
  queue uuid not null references supaqueue.queue on delete cascade,
  locked boolean not null default false
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table supaqueue.worker enable row level security;

-- `locked` is in no index, so that locking and unlocking stay cheap (heap-only updates).
create index worker_queue on supaqueue.worker (queue, id);

comment on table supaqueue.worker is 'The slots of a queue: as many calls of the queue run at once, at most, as it has workers';
comment on column supaqueue.worker.locked is 'Whether the worker processes a job now; kept by Supaqueue';
