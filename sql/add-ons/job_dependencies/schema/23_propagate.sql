-- Propagates changes of jobs to their targets, level by level: a target whose last source
-- succeeded becomes pending, the targets of a failed source are cancelled, and so on. Does
-- nothing if the jobs have no targets.
create or replace function supaqueue.propagate(jobs uuid[], old_statuses text[], new_statuses text[], requeued uuid[])
returns void
language plpgsql
set search_path = ''
as $$
declare
  targets uuid[];
  unfinished integer[];
  failed integer[];
  failed_sources uuid[];
  are_requeued boolean[];
begin
  loop
    select array_agg(d.target), array_agg(d.unfinished), array_agg(d.failed), array_agg(d.failed_source),
      array_agg(d.is_requeued)
    into targets, unfinished, failed, failed_sources, are_requeued
    from (
      select
        e.target,
        sum(n.unfinished - o.unfinished)::integer as unfinished,
        sum(n.failed - o.failed)::integer as failed,
        (array_agg(e.source) filter (where n.failed > o.failed))[1] as failed_source,
        false as is_requeued
      from unnest(jobs, old_statuses, new_statuses) as c (job, old_status, new_status)
      cross join lateral (
        select d.source, d.target, d.on_failure from supaqueue.job_dependencies d where d.source = c.job offset 0
      ) e
      join supaqueue.dependency_effect o on o.status = c.old_status and o.on_failure = e.on_failure
      join supaqueue.dependency_effect n on n.status = c.new_status and n.on_failure = e.on_failure
      where n.unfinished <> o.unfinished or n.failed <> o.failed
      group by e.target
      union all
      select r.job, 0, 0, null, true
      from unnest(requeued) as r (job)
    ) d;
    exit when targets is null;

    select d.jobs, d.old_statuses, d.new_statuses into jobs, old_statuses, new_statuses
    from supaqueue.update_targets(targets, unfinished, failed, failed_sources, are_requeued) d;
    requeued := '{}';
  end loop;
end
$$;
