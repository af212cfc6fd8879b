-- The sources or targets of a job, the first 100, for show_job.
create or replace function supaqueue.edges_of(job uuid, side text)
returns jsonb
language plpgsql
stable
set search_path = ''
as $$
begin
  return (
    select coalesce(jsonb_agg(jsonb_build_object('id', e.id, 'status', j.status, 'queue', q.name) order by e.id), '[]')
    from (
      (select d.source as id from supaqueue.job_dependencies d where side = 'source' and d.target = edges_of.job order by d.source limit 100)
      union all
      (select d.target from supaqueue.job_dependencies d where side = 'target' and d.source = edges_of.job order by d.target limit 100)
    ) e
    left join lateral (select t.status, t.queue from supaqueue.job t where t.id = e.id offset 0) j on true
    left join supaqueue.queue q on q.id = j.queue
  );
end
$$;
