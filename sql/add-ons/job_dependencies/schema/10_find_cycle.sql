-- Returns the nodes of a cycle in a graph, in order, or null if it has none.
--
-- Kahn's algorithm: removes nodes without incoming edges until none is left; the nodes
-- that remain contain a cycle. Linear in the edges: nodes are numbered, and the edges
-- that leave node n are leaving[first_edge[n]] to leaving[first_edge[n + 1] - 1].
create or replace function supaqueue.find_cycle(sources text[], targets text[])
returns text[]
language plpgsql
immutable
set search_path = ''
-- The best joins depend on the number of edges.
set plan_cache_mode = force_custom_plan
as $$
declare
  names text[];
  first_edge integer[];
  leaving integer[];
  arriving integer[];
  free_nodes integer[];
  free_count integer;
  head integer := 1;
  node integer;
  target integer;
  predecessor integer[];
  path integer[] := '{}';
begin
  with name as (
    select n.name, (row_number() over (order by n.name))::integer as number
    from (select unnest(sources) union select unnest(targets)) as n (name)
  ),
  edge as (
    select s.number as source, t.number as target
    from unnest(sources, targets) as e (source, target)
    join name s on s.name = e.source
    join name t on t.name = e.target
  ),
  node as (
    select n.name, n.number, coalesce(o.edges, 0) as edges_out, coalesce(i.edges, 0) as edges_in
    from name n
    left join (select e.source as number, count(*) as edges from edge e group by e.source) o using (number)
    left join (select e.target as number, count(*) as edges from edge e group by e.target) i using (number)
  )
  select
    array_agg(n.name order by n.number),
    array_agg((1 + n.edges_before)::integer order by n.number) || (1 + sum(n.edges_out))::integer,
    array_agg(n.edges_in::integer order by n.number),
    array_agg(n.number order by n.number) filter (where n.edges_in = 0),
    (select array_agg(e.target order by e.source) from edge e)
  into names, first_edge, arriving, free_nodes, leaving
  from (
    select n.*, sum(n.edges_out) over (order by n.number) - n.edges_out as edges_before from node n
  ) n;

  free_nodes := coalesce(free_nodes, '{}');
  free_count := cardinality(free_nodes);
  while head <= free_count loop
    node := free_nodes[head];
    head := head + 1;
    for edge in first_edge[node] .. first_edge[node + 1] - 1 loop
      target := leaving[edge];
      arriving[target] := arriving[target] - 1;
      if arriving[target] = 0 then
        free_count := free_count + 1;
        free_nodes[free_count] := target;
      end if;
    end loop;
  end loop;
  if free_count = coalesce(cardinality(names), 0) then
    return null;
  end if;

  -- Each remaining node has a remaining predecessor: walk backwards until a node repeats.
  for node in 1 .. cardinality(names) loop
    continue when arriving[node] = 0;
    for edge in first_edge[node] .. first_edge[node + 1] - 1 loop
      predecessor[leaving[edge]] := node;
    end loop;
  end loop;
  node := (select n.number from unnest(arriving) with ordinality as n (edges, number) where n.edges > 0 limit 1);
  while array_position(path, node) is null loop
    path := node || path;
    node := predecessor[node];
  end loop;
  path := path[1:array_position(path, node)];
  return array(select names[p.number] from unnest(path) with ordinality as p (number, place) order by p.place);
end
$$;
