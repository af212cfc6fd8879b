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
  names text[] := array(select distinct unnest(sources || targets));
  edge_sources integer[];
  leaving integer[];
  first_edge integer[] := '{1}';
  arriving integer[] := array_fill(0, array[cardinality(names)]);
  free_nodes integer[] := '{}';
  free_count integer := 0;
  head integer := 1;
  edge integer := 1;
  node integer;
  target integer;
  predecessor integer[];
  path integer[] := '{}';
begin
  select array_agg(s.number::integer order by s.number), array_agg(t.number::integer order by s.number)
  into edge_sources, leaving
  from unnest(sources, targets) as e (source, target)
  join unnest(names) with ordinality as s (name, number) on s.name = e.source
  join unnest(names) with ordinality as t (name, number) on t.name = e.target;
  for node in 1 .. cardinality(names) loop
    while edge_sources[edge] = node loop
      arriving[leaving[edge]] := arriving[leaving[edge]] + 1;
      edge := edge + 1;
    end loop;
    first_edge[node + 1] := edge;
  end loop;

  for node in 1 .. cardinality(names) loop
    if arriving[node] = 0 then
      free_count := free_count + 1;
      free_nodes[free_count] := node;
    end if;
  end loop;
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
  if free_count = cardinality(names) then
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
