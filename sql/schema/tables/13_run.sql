-- A run holds its calls as long as its pulse renews its lease: reports do not touch its row. Once
-- a run is over, it stays so, and the tick takes back its calls.
create table supaqueue.run (
  id uuid primary key,
  created_at timestamptz not null default clock_timestamp(),
  number integer not null,
  lease_until timestamptz not null,
  is_over boolean not null default false
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
alter table supaqueue.run enable row level security;

-- Only the primary key: each pulse updates a row, and that must be a heap-only update.
comment on table supaqueue.run is 'The runs of the supaqueue function: what one isolate does with the dispatches that it gets';
comment on column supaqueue.run.number is 'The number of its last pulse';
comment on column supaqueue.run.lease_until is 'When this time has passed without a pulse, the run is over, and its calls are lost';
comment on column supaqueue.run.is_over is 'Whether its calls were given up; all further requests of the run are refused';
