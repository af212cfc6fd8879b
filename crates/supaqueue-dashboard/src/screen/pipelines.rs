//! Pipelines, of the add-on job dependencies: the list, and the graph of one.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;

use maud::{Markup, html};
use serde::Deserialize;

use super::{job, jobs, part, queue};
use crate::context::{Context, Page, Section};
use crate::error::Error;
use crate::fields::Fields;
use crate::graph::{self, Layout, Place};
use crate::{layout, search, text, time};

/// `supaqueue.list_pipelines` counts the jobs of a pipeline up to this, and looks at so many sources.
const COUNTED: i64 = 100;

/// Jobs of a pipeline that are shown, at most; also in the query.
const JOBS: usize = 200;

/// More jobs of one queue with the same sources and targets are drawn as one node.
const SIBLINGS: usize = 8;

/// The size of the graph's nodes, and what is between them.
const WIDTH: f64 = 176.0;
const HEIGHT: f64 = 46.0;
const ACROSS: f64 = 64.0;
const BELOW: f64 = 14.0;
const MARGIN: f64 = 4.0;

/// The address of the pipeline of a job.
pub(crate) fn path(id: &str) -> String {
    format!("/pipelines/{}", part(id))
}

#[derive(Deserialize)]
struct List {
    pipelines: Vec<Listed>,
    next: Option<String>,
    examined: i64,
}

#[derive(Deserialize)]
struct Listed {
    job: String,
    queue: Option<String>,
    created_at: Option<String>,
    finished_at: Option<String>,
    is_whole: bool,
    jobs: i64,
    failed: i64,
    cancelled: i64,
    in_progress: i64,
    pending: i64,
    waiting: i64,
    successful: i64,
}

/// Whether the add-on is there.
async fn is_installed(context: &Context) -> Result<bool, Error> {
    let query =
        "select to_jsonb(to_regprocedure('supaqueue.list_pipelines(integer, text)') is not null)";
    context.database().read(query, &[]).await
}

fn not_installed() -> Page {
    let body = html! {
        h1 { "Pipelines" }
        p { "Pipelines are jobs that wait for other jobs. They need the add-on job dependencies, which this database does not have." }
        p.copied { code { "supaqueue add-on add job_dependencies" } (layout::copy()) }
        p { "Then " code { "supaqueue.enqueue_pipeline" } " enqueues all jobs of a pipeline at once." }
    };
    Page::new(Section::Pipelines, "Pipelines", body)
}

pub(crate) async fn list(context: Arc<Context>) -> Result<Page, Error> {
    if !is_installed(&context).await? {
        return Ok(not_installed());
    }
    let cursor = context
        .query
        .get("cursor")
        .map(|id| search::uuid(id).ok_or_else(missing))
        .transpose()?;
    let query = "select supaqueue.list_pipelines(20, $1)";
    let list: List = context.database().read(query, &[cursor.as_deref()]).await?;
    let body = html! {
        h1 { "Pipelines" }
        @if list.pipelines.is_empty() {
            p.empty {
                @if list.next.is_some() { "None of these " (text::number(list.examined)) " jobs is the first of a pipeline. There are more." }
                @else if cursor.is_some() { "There are no older pipelines." }
                @else { "There are no pipelines yet. " code { "select supaqueue.enqueue_pipeline('[…]');" } " enqueues one." }
            }
        } @else {
            div.table { table {
                caption.hidden { "Pipelines, the newest first" }
                thead { tr {
                    th scope="col" { "First job" } th scope="col" { "Queue" } th.number scope="col" { "Jobs" }
                    th scope="col" { "Status" } th scope="col" { "Created" } th scope="col" { "Ended" }
                } }
                tbody { @for one in &list.pipelines { tr id=(format!("pipeline-{}", one.job)) {
                    th scope="row" { a data-row href=(path(&one.job)) title=(one.job) { code { (jobs::short_id(&one.job)) } } }
                    td.name { @match &one.queue { Some(name) => a href=(queue::path(name)) { (text::short(name, 40)) }, None => span.muted { "deleted" } } }
                    td.number { (text::number(one.jobs)) @if !one.is_whole { "+" } }
                    td { (progress(one)) @if !one.is_whole { " " small.muted { "of the first " (COUNTED) } } }
                    td.time { @if let Some(at) = &one.created_at { (time::relative(at)) } }
                    td.time { @if let Some(at) = &one.finished_at { (time::relative(at)) } }
                } } }
            } }
        }
        nav.pages aria-label="Pages" {
            @if cursor.is_some() { a href="/pipelines" { "← Newest" } }
            @if let Some(next) = &list.next { a rel="next" href=(Fields::of([("cursor", next)]).link("/pipelines")) { "Older →" } }
        }
    };
    Ok(Page::new(Section::Pipelines, "Pipelines", body))
}

fn progress(pipeline: &Listed) -> Markup {
    let counts = [
        ("failed", pipeline.failed),
        ("cancelled", pipeline.cancelled),
        ("in_progress", pipeline.in_progress),
        ("pending", pipeline.pending),
        ("waiting", pipeline.waiting),
        ("successful", pipeline.successful),
    ];
    html! {
        @if pipeline.successful == pipeline.jobs { (text::status("successful")) }
        @else {
            @for (status, count) in counts {
                @if count > 0 { span.counted { (text::number(count)) " " (text::status(status)) } " " }
            }
        }
    }
}

#[derive(Deserialize)]
struct Pipeline {
    jobs: Vec<Member>,
    dependencies: Vec<Dependency>,
    is_whole: bool,
}

#[derive(Deserialize)]
struct Member {
    id: String,
    queue: Option<String>,
    status: String,
    created_at: Option<String>,
    finished_at: Option<String>,
    duration_ms: Option<f64>,
}

#[derive(Deserialize)]
struct Dependency {
    source: String,
    target: String,
    on_failure: String,
    pass_result: bool,
}

fn missing() -> Error {
    Error::NotFound("There is no such pipeline: its jobs were never committed, or they were deleted, as finished jobs are after a while.".into())
}

pub(crate) async fn show(context: Arc<Context>) -> Result<Page, Error> {
    if !is_installed(&context).await? {
        return Ok(not_installed());
    }
    let id = search::uuid(context.parameter("id")).ok_or_else(missing)?;
    let query = "select coalesce(supaqueue.show_pipeline($1::uuid, 200), 'null')";
    let found: Option<Pipeline> = context.database().read(query, &[Some(&id)]).await?;
    let pipeline = found.ok_or_else(missing)?;
    let is_detailed = context.query.get("each").is_some();
    let nodes = pipeline.nodes(if is_detailed { JOBS } else { SIBLINGS });
    let is_grouped = nodes.len() < pipeline.jobs.len();
    let body = html! {
        p.crumbs { a href="/pipelines" { "Pipelines" } " / Pipeline" }
        h1 { "Pipeline of " code { (jobs::short_id(&id)) } }
        @if !pipeline.is_whole {
            p { "This pipeline is larger than this page: it shows the " (text::number(pipeline.jobs.len() as i64)) " jobs nearest to " a href=(job::path(&id)) { "this one" } ". Open one at the edge to see further." }
        }
        div.graph tabindex="0" role="group" aria-label="Graph of the pipeline; the table below says the same" {
            (draw(&pipeline, &nodes, &id))
        }
        p.muted {
            "Solid lines cancel a job when its source fails; dashed ones keep it waiting or let it run. "
            @if is_grouped { "More than " (SIBLINGS) " alike are drawn as one. " a href=(context.link_with("each", Some("1"))) { "Draw each job" } }
            @else if is_detailed { a href=(context.link_with("each", None)) { "Draw jobs that are alike as one" } }
        }
        h2 #jobs { "Jobs" }
        (table(&pipeline, &id))
    };
    Ok(Page::new(
        Section::Pipelines,
        format!("Pipeline of {}", jobs::short_id(&id)),
        body,
    ))
}

impl Pipeline {
    /// The members of each node of the graph: one job, or all of more than `siblings` that are alike.
    fn nodes(&self, siblings: usize) -> Vec<Vec<usize>> {
        let mut sources: HashMap<&str, Vec<&str>> = HashMap::new();
        let mut targets: HashMap<&str, Vec<&str>> = HashMap::new();
        for one in &self.dependencies {
            sources.entry(&one.target).or_default().push(&one.source);
            targets.entry(&one.source).or_default().push(&one.target);
        }
        let neighbours = |of: &HashMap<&str, Vec<&str>>, id: &str| {
            let mut ids: Vec<String> = of
                .get(id)
                .into_iter()
                .flatten()
                .map(ToString::to_string)
                .collect();
            ids.sort();
            ids
        };
        let mut alike: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (i, one) in self.jobs.iter().enumerate() {
            alike
                .entry((
                    &one.queue,
                    neighbours(&sources, &one.id),
                    neighbours(&targets, &one.id),
                ))
                .or_default()
                .push(i);
        }
        let mut nodes: Vec<Vec<usize>> = alike
            .into_values()
            .flat_map(|members| match members.len() > siblings {
                true => vec![members],
                false => members.into_iter().map(|member| vec![member]).collect(),
            })
            .collect();
        nodes.sort();
        nodes
    }
}

fn x(place: Place) -> f64 {
    MARGIN + place.column as f64 * (WIDTH + ACROSS)
}

fn y(place: Place) -> f64 {
    MARGIN + place.row * (HEIGHT + BELOW)
}

fn draw(pipeline: &Pipeline, nodes: &[Vec<usize>], id: &str) -> Markup {
    let node_of: HashMap<&str, usize> = nodes
        .iter()
        .enumerate()
        .flat_map(|(node, members)| {
            members
                .iter()
                .map(move |&member| (pipeline.jobs[member].id.as_str(), node))
        })
        .collect();
    let mut edges: BTreeMap<(usize, usize), bool> = BTreeMap::new();
    for one in &pipeline.dependencies {
        if let (Some(&source), Some(&target)) = (
            node_of.get(one.source.as_str()),
            node_of.get(one.target.as_str()),
        ) {
            *edges.entry((source, target)).or_default() |= one.on_failure != "fail";
        }
    }
    let pairs: Vec<_> = edges.keys().copied().collect();
    let layout: Layout = graph::layout(nodes.len(), &pairs);
    let width = 2.0 * MARGIN + layout.columns as f64 * (WIDTH + ACROSS) - ACROSS;
    let height = 2.0 * MARGIN + layout.rows as f64 * (HEIGHT + BELOW) - BELOW;
    html! {
        svg viewBox=(format!("0 0 {width} {height}")) width=(width) height=(height) aria-hidden="true" {
            @for (path, is_soft) in layout.edges.iter().zip(edges.values()) {
                path.edge.soft[*is_soft] d=(line(path)) {}
            }
            @for (members, place) in nodes.iter().zip(&layout.nodes) {
                (node(pipeline, members, *place, id))
            }
        }
    }
}

/// A line from the right of a node through the bends to the left of another.
fn line(path: &[Place]) -> String {
    let middle = HEIGHT / 2.0;
    let mut line = String::new();
    for (i, pair) in path.windows(2).enumerate() {
        let (from, to) = (
            (x(pair[0]) + WIDTH, y(pair[0]) + middle),
            (x(pair[1]), y(pair[1]) + middle),
        );
        let half = (to.0 - from.0) / 2.0;
        let start = if i == 0 { 'M' } else { 'L' };
        let _ = write!(
            line,
            "{start}{},{} C{},{} {},{} {},{} ",
            from.0,
            from.1,
            from.0 + half,
            from.1,
            to.0 - half,
            to.1,
            to.0,
            to.1
        );
    }
    line
}

fn node(pipeline: &Pipeline, members: &[usize], place: Place, id: &str) -> Markup {
    let first = &pipeline.jobs[members[0]];
    let is_group = members.len() > 1;
    // A group has the status that matters most.
    let order = [
        "failed",
        "cancelled",
        "deleted",
        "in_progress",
        "pending",
        "waiting",
        "successful",
    ];
    let count = |status: &str| {
        members
            .iter()
            .filter(|&&member| pipeline.jobs[member].status == status)
            .count()
    };
    let status = order
        .into_iter()
        .find(|status| count(status) > 0)
        .unwrap_or("deleted");
    let queue = text::plain(&text::cut(
        first.queue.as_deref().unwrap_or("deleted"),
        if is_group { 14 } else { 20 },
    ));
    let below = if is_group {
        let counts: Vec<_> = order
            .iter()
            .map(|status| (count(status), status.replace('_', " ")))
            .filter(|(count, _)| *count > 0)
            .collect();
        counts
            .iter()
            .map(|(count, status)| format!("{count} {status}"))
            .collect::<Vec<_>>()
            .join(", ")
    } else {
        format!(
            "{} {} · {}",
            text::sign(status),
            status.replace('_', " "),
            jobs::short_id(&first.id)
        )
    };
    let href = if is_group {
        "#jobs".into()
    } else {
        job::path(&first.id)
    };
    html! {
        a href=(href) tabindex="-1" {
            g class=(format!("node node-{status}{}", if first.id == id { " here" } else { "" })) {
                @if is_group { rect x=(x(place) + 4.0) y=(y(place) + 4.0) width=(WIDTH) height=(HEIGHT) rx="8" {} }
                rect x=(x(place)) y=(y(place)) width=(WIDTH) height=(HEIGHT) rx="8" {}
                text x=(x(place) + 12.0) y=(y(place) + 19.0) { (queue) @if is_group { " × " (members.len()) } }
                text.second x=(x(place) + 12.0) y=(y(place) + 35.0) { (text::plain(&text::cut(&below, 28))) }
                title { (text::plain(&text::cut(first.queue.as_deref().unwrap_or("deleted"), 200))) ": " (below) }
            }
        }
    }
}

/// The pipeline in words.
fn table(pipeline: &Pipeline, id: &str) -> Markup {
    let mut sources: HashMap<&str, Vec<&Dependency>> = HashMap::new();
    for one in &pipeline.dependencies {
        sources.entry(&one.target).or_default().push(one);
    }
    html! {
        div.table { table {
            caption.hidden { "Jobs of the pipeline, in the order in which they were inserted, and what they wait for" }
            thead { tr {
                th scope="col" { "Job" } th scope="col" { "Queue" } th scope="col" { "Status" } th scope="col" { "Waits for" }
                th scope="col" { "Created" } th scope="col" { "Ended" } th.number scope="col" { "Took" }
            } }
            tbody { @for one in &pipeline.jobs { tr id=(format!("job-{}", one.id)) aria-current=[(one.id == id).then_some("true")] {
                th scope="row" { a data-row href=(job::path(&one.id)) title=(one.id) { code { (jobs::short_id(&one.id)) } } }
                td.name { @if let Some(name) = &one.queue { a href=(queue::path(name)) { (text::short(name, 40)) } } }
                td { (text::status(&one.status)) }
                td {
                    @let sources = sources.get(one.id.as_str()).map(Vec::as_slice).unwrap_or_default();
                    @for source in sources.iter().take(5) {
                        a href=(format!("#job-{}", source.source)) { code { (jobs::short_id(&source.source)) } }
                        @if source.on_failure != "fail" { small.muted { " (" (source.on_failure) " if it fails)" } }
                        @if source.pass_result { small.muted { " (with its result)" } }
                        " "
                    }
                    @if sources.len() > 5 { span.muted { "and " (sources.len() - 5) " more" } }
                }
                td.time { @if let Some(at) = &one.created_at { (time::relative(at)) } }
                td.time { @if let Some(at) = &one.finished_at { (time::relative(at)) } }
                td.number { @if let Some(ms) = one.duration_ms { (time::duration(ms)) } }
            } } }
        } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipeline(jobs: &[&str], dependencies: &[(&str, &str)]) -> Pipeline {
        let member = |id: &&str| Member {
            id: id.to_string(),
            queue: Some(id[..1].to_owned()),
            status: "failed".into(),
            created_at: None,
            finished_at: None,
            duration_ms: None,
        };
        let dependency = |&(source, target): &(&str, &str)| Dependency {
            source: source.into(),
            target: target.into(),
            on_failure: "fail".into(),
            pass_result: false,
        };
        Pipeline {
            jobs: jobs.iter().map(member).collect(),
            dependencies: dependencies.iter().map(dependency).collect(),
            is_whole: true,
        }
    }

    #[test]
    fn jobs_that_are_alike_become_one_node() {
        let one = pipeline(
            &["s", "p1", "p2", "p3", "q1", "c"],
            &[
                ("s", "p1"),
                ("s", "p2"),
                ("s", "p3"),
                ("s", "q1"),
                ("p1", "c"),
                ("p2", "c"),
                ("p3", "c"),
                ("q1", "c"),
            ],
        );
        assert_eq!(one.nodes(2), [vec![0], vec![1, 2, 3], vec![4], vec![5]]);
        assert_eq!(one.nodes(3).len(), 6);
    }

    #[test]
    fn an_edge_of_several_columns_goes_through_its_bends() {
        let place = |column, row| Place { column, row };
        assert_eq!(
            line(&[place(0, 0.0), place(1, 1.0)]),
            "M180,27 C212,27 212,87 244,87 "
        );
        assert_eq!(
            line(&[place(0, 0.0), place(1, 1.0), place(2, 0.0)]),
            "M180,27 C212,27 212,87 244,87 L420,87 C452,87 452,27 484,27 "
        );
    }

    #[test]
    fn hostile_names_stay_text() {
        let mut one = pipeline(&["a", "b"], &[("a", "b")]);
        one.jobs[0].queue = Some("</text><script>\u{202e}".into());
        let svg = draw(&one, &one.nodes(8), "a").into_string();
        assert!(
            !svg.contains("<script") && !svg.contains('\u{202e}'),
            "{svg}"
        );
    }
}
