-- Returns a pipeline as a Mermaid flowchart. More than max_siblings jobs of one queue with the same
-- sources and targets become one node with a count per status, so that a wide pipeline stays
-- readable.
create or replace function supaqueue.pipeline_mermaid(job uuid, max_siblings integer default 5)
returns text
language sql
stable
set search_path = ''
as $$
  with member as (
    select p.*, row_number() over () as number from supaqueue.pipeline(pipeline_mermaid.job) p
  ),
  grouped as (
    select m.*, count(*) over siblings as siblings, min(m.number) over siblings as first_number
    from member m
    window siblings as (partition by m.queue, m.sources, m.targets)
  ),
  placed as (
    select g.id, g.queue, g.status, case when g.siblings > max_siblings then g.first_number else g.number end as node
    from grouped g
  ),
  counted as (
    select p.node, p.status, max(p.queue) as queue, count(*) as jobs, (array_agg(p.id))[1] as id
    from placed p
    group by p.node, p.status
  ),
  node as (
    select
      c.node,
      case when sum(c.jobs) = 1
        then coalesce(max(c.queue), 'job') || ' ' || right((array_agg(c.id))[1]::text, 6)
        else max(c.queue) || ' × ' || sum(c.jobs)
      end as title,
      case when sum(c.jobs) = 1
        then max(c.status)
        else string_agg(c.jobs || ' ' || c.status, ', ' order by c.status)
      end as states,
      -- A group is coloured by the status that matters most.
      (array_agg(c.status order by array_position(
        array['failed', 'cancelled', 'deleted', 'in_progress', 'pending', 'waiting', 'successful'], c.status)))[1] as class
    from counted c
    group by c.node
  ),
  edge as (
    select distinct s.node as source, t.node as target, e.on_failure
    from placed t
    join supaqueue.job_dependencies e on e.target = t.id
    join placed s on s.id = e.source
  ),
  line (part, number, text) as (
    select 1, 0, 'flowchart LR'
    union all
    select 2, n.node, format('  n%s["%s<br/>%s"]:::%s', n.node, replace(n.title, '"', '#quot;'), n.states, n.class)
    from node n
    union all
    select 3, row_number() over (order by e.source, e.target, e.on_failure), format('  n%s -->%s n%s', e.source,
      case when e.on_failure = 'fail' then '' else '|' || e.on_failure || '|' end, e.target)
    from edge e
    union all
    select 4, s.ordinality, format('  classDef %s fill:%s', s.class, s.colour)
    from rows from (unnest(
      array['pending', 'waiting', 'in_progress', 'successful', 'failed', 'cancelled', 'deleted'],
      array['#fff', '#eee', '#fd8', '#8d8', '#f88', '#bbb', '#bbb'])) with ordinality as s (class, colour, ordinality)
  )
  select string_agg(l.text, e'\n' order by l.part, l.number) from line l
$$;
comment on function supaqueue.pipeline_mermaid is 'All jobs connected with a job by dependencies, as a Mermaid flowchart';
