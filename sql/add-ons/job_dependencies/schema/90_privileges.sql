-- Only postgres and service_role reach any of it, as with the core.
do $$
declare
  role text;
  tables text := 'supaqueue.job_dependencies, supaqueue.dependent_job, supaqueue.dependency_change, '
    'supaqueue.dependency_turn, supaqueue.dependency_effect';
  _function regprocedure;
begin
  alter table supaqueue.job_dependencies enable row level security;
  alter table supaqueue.dependent_job enable row level security;
  alter table supaqueue.dependency_change enable row level security;
  alter table supaqueue.dependency_turn enable row level security;

  for role in
    select 'public'
    union all
    select r.rolname from pg_catalog.pg_roles r where r.rolname in ('anon', 'authenticated', 'service_role')
  loop
    execute format('revoke all on %s from %s', tables, role);
  end loop;
  if exists (select from pg_catalog.pg_roles r where r.rolname = 'service_role') then
    execute format('grant select on %s to service_role', tables);
    grant insert, update, delete on supaqueue.job_dependencies to service_role;
  end if;

  foreach _function in array array[
    'supaqueue.cycle(text[],text[])',
    'supaqueue.reachable(uuid[])',
    'supaqueue.refuse_cycle()',
    'supaqueue.lock_dependents(uuid[],uuid[],boolean)',
    'supaqueue.failure_reaches(uuid[])',
    'supaqueue.decide(uuid[],integer[],integer[],uuid[],boolean[])',
    'supaqueue.pass_on(uuid[],text[],text[],uuid[])',
    'supaqueue.refuse_unknown_jobs()',
    'supaqueue.refuse_started_targets(uuid[])',
    'supaqueue.wait_for_job(uuid)',
    'supaqueue.hold_targets(uuid[])',
    'supaqueue.lock_jobs_at_once(uuid[])',
    'supaqueue.lock_for_counting(uuid[],uuid[])',
    'supaqueue.count_dependencies(boolean,uuid[],text[])',
    'supaqueue.is_first_dependency_change()',
    'supaqueue.count_dependencies_tg_fn()',
    'supaqueue.note_added_dependencies_tg_fn()',
    'supaqueue.note_updated_dependencies_tg_fn()',
    'supaqueue.note_deleted_dependencies_tg_fn()',
    'supaqueue.refuse_truncate_tg_fn()',
    'supaqueue.pass_on_updated_jobs_tg_fn()',
    'supaqueue.hold_inserted_jobs_tg_fn()',
    'supaqueue.pass_on_deleted_jobs_tg_fn()',
    'supaqueue.keep_source_tg_fn()',
    'supaqueue.pass_on_truncated_jobs_tg_fn()',
    'supaqueue.add_results_tg_fn()',
    'supaqueue.enqueue(varchar,jsonb,integer,timestamptz,jsonb,integer,integer,uuid[],text,boolean)',
    'supaqueue.pipeline_jobs(jsonb)',
    'supaqueue.enqueue_pipeline(jsonb)',
    'supaqueue.pipeline(uuid)',
    'supaqueue.pipeline_mermaid(uuid,integer)'
  ]::regprocedure[]
  loop
    for role in
      select 'public'
      union all
      select r.rolname from pg_catalog.pg_roles r where r.rolname in ('anon', 'authenticated', 'service_role')
    loop
      execute format('revoke all on function %s from %s', _function, role);
    end loop;
    if exists (select from pg_catalog.pg_roles r where r.rolname = 'service_role') then
      execute format('grant execute on function %s to service_role', _function);
    end if;
  end loop;
end
$$;
