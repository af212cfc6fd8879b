-- The core's enqueue_outcome and enqueue, for a job that waits for others. A holder of its key that was changed
-- (on_conflict) waits for them, too.
--
-- queue_name is a varchar so that calls without depends_on are not ambiguous: Postgres prefers the
-- core's functions, whose parameter is a text.
create or replace function supaqueue.enqueue_outcome(
  queue_name varchar,
  payload jsonb default '{}',
  priority integer default 0,
  run_at timestamptz default now(),
  headers jsonb default null,
  max_attempts integer default null,
  timeout_ms integer default null,
  path text default null,
  key text default null,
  on_conflict text default 'keep',
  tenant text default null,
  depends_on uuid[] default '{}',
  on_failure text default 'fail',
  pass_results boolean default false,
  out job uuid,
  out outcome text
)
language plpgsql
set search_path = ''
as $$
begin
  if key is null and on_conflict = 'keep' then
    insert into supaqueue.job as j (queue, payload, status, priority, run_at, headers, max_attempts, timeout_ms, path, tenant)
    values (
      supaqueue.queue_id(queue_name), payload, case when depends_on <> '{}' then 'waiting' else 'pending' end,
      priority, run_at, headers, max_attempts, timeout_ms, path, tenant)
    returning j.id into job;
    outcome := 'inserted';
  else
    select o.job, o.outcome into job, outcome
    from supaqueue.enqueue_outcome(
      queue_name::text, payload, priority, run_at, headers, max_attempts, timeout_ms, path, key, on_conflict, tenant) o;
  end if;
  insert into supaqueue.job_dependencies (source, target, on_failure, pass_result)
  select distinct d.source, enqueue_outcome.job, enqueue_outcome.on_failure, enqueue_outcome.pass_results
  from unnest(depends_on) as d (source)
  where enqueue_outcome.outcome <> 'kept'
  on conflict do nothing;
end
$$;
comment on function supaqueue.enqueue_outcome(varchar, jsonb, integer, timestamptz, jsonb, integer, integer, text, text, text, text, uuid[], text, boolean) is
  'Like enqueue with depends_on; returns the id (job) and what happened (outcome): inserted, kept, replaced, postponed or merged';

create or replace function supaqueue.enqueue(
  queue_name varchar,
  payload jsonb default '{}',
  priority integer default 0,
  run_at timestamptz default now(),
  headers jsonb default null,
  max_attempts integer default null,
  timeout_ms integer default null,
  path text default null,
  key text default null,
  on_conflict text default 'keep',
  tenant text default null,
  depends_on uuid[] default '{}',
  on_failure text default 'fail',
  pass_results boolean default false
)
returns uuid
language sql
set search_path = ''
as $$
  select o.job
  from supaqueue.enqueue_outcome(
    queue_name, payload, priority, run_at, headers, max_attempts, timeout_ms, path, key, on_conflict, tenant,
    depends_on, on_failure, pass_results) o
$$;
comment on function supaqueue.enqueue(varchar, jsonb, integer, timestamptz, jsonb, integer, integer, text, text, text, text, uuid[], text, boolean) is
  'Enqueues a job that waits for others (depends_on); returns its id, or that of the job that holds its key already';
