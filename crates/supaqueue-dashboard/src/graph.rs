//! Where the nodes of a graph are drawn: in columns from left to right, so that each edge leads to a later column.
//!
//! The layout is that of Sugiyama: nodes get columns by their longest path, an edge over several columns gets a bend in
//! each of them, and the rows of a column are sorted by the middle of their neighbours, back and forth.

/// Edges that span columns are drawn without bends from this number of bends on.
const MAX_BENDS: usize = 2_000;
const SWEEPS: usize = 8;
/// Columns with more rows begin at the top, where the page begins, instead of in the middle.
const MAX_CENTERED_ROWS: usize = 12;

/// A column and a row, counted from 0. Rows of centered columns may lie between those of others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Place {
    pub(crate) column: usize,
    pub(crate) row: f64,
}

#[derive(Debug, Default)]
pub(crate) struct Layout {
    /// The place of each node.
    pub(crate) nodes: Vec<Place>,
    /// The places each edge passes, its ends included.
    pub(crate) edges: Vec<Vec<Place>>,
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// Places `nodes` nodes with edges from source to target, both below `nodes`.
pub(crate) fn layout(nodes: usize, edges: &[(usize, usize)]) -> Layout {
    if nodes == 0 {
        return Layout::default();
    }
    let mut columns = columns(nodes, edges);
    let spans =
        |&(source, target): &(usize, usize)| columns[target].saturating_sub(columns[source] + 1);
    let has_bends = edges.iter().map(spans).sum::<usize>() <= MAX_BENDS;

    // From here on, a bend is a node like others, and a link is an edge between neighbouring columns.
    let mut paths = Vec::with_capacity(edges.len());
    let mut links = Vec::new();
    for &(source, target) in edges {
        let mut path = vec![source];
        if has_bends {
            for column in columns[source] + 1..columns[target] {
                path.push(columns.len());
                columns.push(column);
            }
        }
        path.push(target);
        links.extend(path.windows(2).map(|pair| (pair[0], pair[1])));
        paths.push(path);
    }

    let rows = rows(&columns, &links);
    let heights = rows.iter().map(Vec::len);
    let height = heights.max().unwrap_or(0);
    let mut places = vec![
        Place {
            column: 0,
            row: 0.0
        };
        columns.len()
    ];
    for (column, members) in rows.iter().enumerate() {
        let above = if height > MAX_CENTERED_ROWS {
            0.0
        } else {
            (height - members.len()) as f64 / 2.0
        };
        for (row, &node) in members.iter().enumerate() {
            places[node] = Place {
                column,
                row: above + row as f64,
            };
        }
    }
    Layout {
        nodes: places[..nodes].to_vec(),
        edges: paths
            .iter()
            .map(|path| path.iter().map(|&node| places[node]).collect())
            .collect(),
        columns: rows.len(),
        rows: height,
    }
}

/// The column of each node: after all its sources, and a node without sources right before its first target. Nodes of a
/// cycle, which the database refuses, stay where the others put them.
fn columns(nodes: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let mut targets = vec![Vec::new(); nodes];
    let mut unplaced_sources = vec![0_usize; nodes];
    for &(source, target) in edges {
        targets[source].push(target);
        unplaced_sources[target] += 1;
    }
    let roots: Vec<_> = (0..nodes)
        .filter(|&node| unplaced_sources[node] == 0)
        .collect();
    let mut columns = vec![0_usize; nodes];
    let mut next = roots.clone();
    while let Some(node) = next.pop() {
        for &target in &targets[node] {
            columns[target] = columns[target].max(columns[node] + 1);
            unplaced_sources[target] -= 1;
            if unplaced_sources[target] == 0 {
                next.push(target);
            }
        }
    }
    for root in roots {
        let first = targets[root].iter().map(|&target| columns[target]).min();
        columns[root] = first.unwrap_or(0).saturating_sub(1);
    }
    columns
}

/// The nodes of each column from top to bottom.
fn rows(columns: &[usize], links: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let count = columns.iter().max().map_or(0, |last| last + 1);
    let mut rows = vec![Vec::new(); count];
    for (node, &column) in columns.iter().enumerate() {
        rows[column].push(node);
    }
    let mut before = vec![Vec::new(); columns.len()];
    let mut after = vec![Vec::new(); columns.len()];
    for &(source, target) in links {
        before[target].push(source);
        after[source].push(target);
    }
    let mut row = vec![0.0; columns.len()];
    let number = |members: &[usize], row: &mut Vec<f64>| {
        // The middle of a column is the same for all of them, however many members it has.
        let above = members.len() as f64 / 2.0;
        members
            .iter()
            .enumerate()
            .for_each(|(i, &node)| row[node] = i as f64 - above);
    };
    rows.iter().for_each(|members| number(members, &mut row));
    for sweep in 0..SWEEPS {
        let is_forward = sweep % 2 == 0;
        let neighbours = if is_forward { &before } else { &after };
        for step in 0..count {
            let members = &mut rows[if is_forward { step } else { count - 1 - step }];
            let middle = |&node: &usize| match neighbours[node].len() {
                0 => row[node],
                n => {
                    neighbours[node]
                        .iter()
                        .map(|&other| row[other])
                        .sum::<f64>()
                        / n as f64
                }
            };
            members.sort_by(|a, b| middle(a).total_cmp(&middle(b)));
            number(members, &mut row);
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(nodes: usize, edges: &[(usize, usize)]) -> Vec<(usize, f64)> {
        layout(nodes, edges)
            .nodes
            .iter()
            .map(|place| (place.column, place.row))
            .collect()
    }

    /// How many pairs of edges cross, between neighbouring columns.
    fn crossings(layout: &Layout) -> usize {
        let links: Vec<_> = layout
            .edges
            .iter()
            .flat_map(|path| path.windows(2))
            .collect();
        let cross = |a: &[Place], b: &[Place]| {
            a[0].column == b[0].column && (a[0].row - b[0].row) * (a[1].row - b[1].row) < 0.0
        };
        links
            .iter()
            .enumerate()
            .map(|(i, a)| links[..i].iter().filter(|b| cross(a, b)).count())
            .sum()
    }

    #[test]
    fn a_chain_is_a_line() {
        assert_eq!(places(0, &[]), []);
        assert_eq!(places(1, &[]), [(0, 0.0)]);
        assert_eq!(places(3, &[(2, 1), (1, 0)]), [(2, 0.0), (1, 0.0), (0, 0.0)]);
    }

    #[test]
    fn a_fork_is_centered_around_its_ends() {
        assert_eq!(
            places(5, &[(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)]),
            [(0, 1.0), (1, 0.0), (1, 1.0), (1, 2.0), (2, 1.0)]
        );
    }

    #[test]
    fn a_wide_column_begins_at_the_top() {
        let edges: Vec<_> = (1..20).map(|part| (0, part)).collect();
        assert_eq!(
            layout(20, &edges).nodes[0],
            Place {
                column: 0,
                row: 0.0
            }
        );
    }

    #[test]
    fn each_edge_leads_to_a_later_column_through_those_between() {
        let layout = layout(4, &[(0, 1), (1, 2), (0, 2), (3, 2)]);
        for edge in &layout.edges {
            for pair in edge.windows(2) {
                assert_eq!(pair[1].column, pair[0].column + 1);
            }
        }
        assert_eq!(
            layout.nodes[3].column, 1,
            "a node without sources is right before its target"
        );
        let bend = layout.edges[2][1];
        assert!(
            !layout.nodes.contains(&bend),
            "an edge does not pass through a node"
        );
    }

    #[test]
    fn no_two_nodes_share_a_place() {
        let edges: Vec<_> = (0..200)
            .flat_map(|i| [(i / 3, i), (i / 7, i), (i / 2, i)])
            .filter(|(a, b)| a < b)
            .collect();
        let layout = layout(200, &edges);
        for (i, a) in layout.nodes.iter().enumerate() {
            assert!(!layout.nodes[..i].contains(a), "{a:?}");
        }
    }

    #[test]
    fn lines_that_need_not_cross_do_not() {
        // Three chains whose members come in another order in each column.
        let edges = [(0, 5), (1, 3), (2, 4), (3, 8), (4, 6), (5, 7)];
        assert_eq!(crossings(&layout(9, &edges)), 0);
    }

    #[test]
    fn a_cycle_is_drawn_somehow() {
        assert_eq!(layout(3, &[(0, 1), (1, 2), (2, 1)]).nodes.len(), 3);
        assert_eq!(layout(2, &[(0, 1), (1, 0)]).nodes.len(), 2);
    }

    #[test]
    fn every_job_that_waits_for_all_before_it_takes_no_time() {
        let edges: Vec<_> = (0..200)
            .flat_map(|target| (0..target).map(move |source| (source, target)))
            .collect();
        let layout = layout(200, &edges);
        assert_eq!((layout.columns, layout.rows), (200, 1));
    }
}
