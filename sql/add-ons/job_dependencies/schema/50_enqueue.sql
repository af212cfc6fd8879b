-- The core's enqueue, for a job that waits for others. A holder of its key that was changed (on_conflict) waits
-- for them, too.
--
-- queue_name is a varchar so that calls without depends_on are not ambiguous: Postgres prefers the
-- core's function, whose parameter is a text.
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
  depends_on uuid[] default '{}',
  on_failure text default 'fail',
  pass_results boolean default false
)
returns uuid
language plpgsql
set search_path = ''
as $$
declare
  new_job uuid;
  outcome text := 'inserted';
begin
  if key is null and on_conflict = 'keep' then
    insert into supaqueue.job (queue, payload, status, priority, run_at, headers, max_attempts, timeout_ms, path)
    values (
      supaqueue.queue_id(queue_name), payload, case when depends_on <> '{}' then 'waiting' else 'pending' end,
      priority, run_at, headers, max_attempts, timeout_ms, path)
    returning id into new_job;
  else
    select o.job, o.outcome into new_job, outcome
    from supaqueue.enqueue_outcome(
      queue_name, payload, priority, run_at, headers, max_attempts, timeout_ms, path, key, on_conflict) o;
  end if;
  insert into supaqueue.job_dependencies (source, target, on_failure, pass_result)
  select distinct d.source, new_job, enqueue.on_failure, enqueue.pass_results
  from unnest(depends_on) as d (source)
  where outcome <> 'kept'
  on conflict do nothing;
  return new_job;
end
$$;
comment on function supaqueue.enqueue(varchar, jsonb, integer, timestamptz, jsonb, integer, integer, text, text, text, uuid[], text, boolean) is
  'Enqueues a job that waits for others (depends_on); returns its id, or that of the job that holds its key already';
