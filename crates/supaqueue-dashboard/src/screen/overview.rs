//! What to know first: problems, totals, charts, and the queues.

use std::sync::Arc;

use maud::{Markup, html};
use serde::Deserialize;

use super::{job, queue};
use crate::chart::{Charts, Period};
use crate::context::{Context, Page, Section};
use crate::error::Error;
use crate::{layout, text, time};

/// `supaqueue.queue_status` counts up to this.
pub(super) const BOUND: i64 = 100_001;

/// Queues that are shown, at most; also in the query.
const QUEUES: usize = 200;

#[derive(Deserialize)]
struct Overview {
    problems: Vec<Problem>,
    last_tick_at: Option<String>,
    queues: Vec<Queue>,
}

/// A row of `supaqueue.problem`.
#[derive(Deserialize)]
pub(super) struct Problem {
    queue: Option<String>,
    job: Option<String>,
    problem: String,
    remedy: String,
}

#[derive(Deserialize)]
struct Queue {
    id: String,
    name: String,
    is_paused: bool,
    workers: i64,
    busy_workers: i64,
    pending: i64,
    waiting: i64,
    in_progress: i64,
    /// Per step: successful, failed.
    ended: Vec<[i64; 2]>,
}

pub(crate) async fn show(context: Arc<Context>) -> Result<Page, Error> {
    let period = Period::of_page(&context);
    let sparks = period.of_sparks();
    let parameters = [Some(sparks.since), Some(sparks.step)];
    let query = include_str!("overview.sql");
    let (overview, charts): (Overview, Charts) = tokio::try_join!(
        context.database().read(query, &parameters),
        Charts::load(&context, None, period),
    )?;
    let body = html! {
        div.head { h1 { "Overview" } (period.choice(&context)) }
        (problems(&overview.problems))
        p.fine {
            @if overview.problems.is_empty() { span { span.good aria-hidden="true" { "✓ " } "No problems" } span aria-hidden="true" { "·" } }
            span { "Last tick " @match &overview.last_tick_at { Some(at) => (time::relative(at)), None => "never" } }
        }
        (totals(&overview.queues, &charts, period))
        h2.hidden { "Charts" }
        (charts.show(period))
        section aria-labelledby="queues" {
            h2 #queues { "Queues" }
            @if overview.queues.is_empty() {
                p.empty { "There are no queues yet. " code { "insert into supaqueue.queue (edge_function_name) values ('send-email');" } " makes one." }
            } @else {
                (table(&overview.queues, sparks))
            }
        }
    };
    Ok(Page::new(Section::Overview, "Overview", body))
}

/// Problems with their remedies.
pub(super) fn problems(problems: &[Problem]) -> Markup {
    html! {
        @for problem in problems {
            section.problem {
                p {
                    strong.bad { span aria-hidden="true" { "⚠ " } "Problem" }
                    @if let Some(name) = &problem.queue { " in " a href=(queue::path(name)) { (text::short(name, 80)) } }
                    @if let Some(id) = &problem.job { ", " a href=(job::path(id)) { "see the job" } }
                    ": " (text::inline(&problem.problem))
                }
                (remedy(&problem.remedy))
            }
        }
    }
}

/// A remedy; a statement in it can be copied.
fn remedy(remedy: &str) -> Markup {
    html! {
        @match statement_in(remedy) {
            None => p { (text::inline(remedy)) },
            Some((before, statement, after)) => p.remedy {
                (text::inline(before)) " " code { (text::inline(statement)) } (layout::copy()) " " (text::inline(after))
            }
        }
    }
}

/// What is before a statement, the statement, and what is after it.
fn statement_in(remedy: &str) -> Option<(&str, &str, &str)> {
    let begins = [
        "select ", "update ", "create ", "alter ", "insert ", "delete ", "drop ",
    ];
    let start = remedy.match_indices(": ").find_map(|(index, colon)| {
        let start = index + colon.len();
        let rest = &remedy[start..];
        begins
            .iter()
            .any(|begin| rest.starts_with(begin))
            .then_some(start)
    })?;
    let end = remedy.rfind(';').filter(|end| *end > start)? + 1;
    Some((
        remedy[..start].trim_end(),
        &remedy[start..end],
        remedy[end..].trim_start(),
    ))
}

fn totals(queues: &[Queue], charts: &Charts, period: &Period) -> Markup {
    let sum = |of: fn(&Queue) -> i64| -> String {
        let number = text::number(queues.iter().map(of).map(|one| one.min(BOUND - 1)).sum());
        let is_more = queues.iter().any(|queue| of(queue) >= BOUND);
        if is_more { number + "+" } else { number }
    };
    html! {
        dl.facts.wide {
            div { dt { "Pending" } dd { (sum(|queue| queue.pending)) } }
            div { dt { "Waiting" } dd { (sum(|queue| queue.waiting)) } }
            div { dt { "In progress" } dd { (sum(|queue| queue.in_progress)) small { " of " (sum(|queue| queue.workers)) " workers" } } }
            div { dt { "Successful, " (period.label) } dd { (text::number(charts.total(|point| point.succeeded))) } }
            div { dt { "Failed, " (period.label) } dd { (text::number(charts.total(|point| point.failed))) } }
        }
    }
}

fn table(queues: &[Queue], period: &Period) -> Markup {
    html! {
        div.table {
            table {
                caption.hidden { "The queues, with their workers and jobs" }
                thead { tr {
                    th scope="col" { "Queue" }
                    th scope="col" { "Ended, " (period.label) }
                    th.number scope="col" { "Busy workers" }
                    th.number scope="col" { "Pending" }
                    th.number scope="col" { "Waiting" }
                    th.number scope="col" { "In progress" }
                } }
                tbody {
                    @for queue in queues { tr id=(queue.id) {
                        th scope="row" {
                            a data-row href=(queue::path(&queue.name)) { (text::short(&queue.name, 80)) }
                            @if queue.is_paused { " " (queue::Paused) }
                        }
                        td { (Charts::spark(&queue.ended)) }
                        td.number { (queue.busy_workers) " of " (queue.workers) }
                        td.number { (text::bounded(queue.pending, BOUND)) }
                        td.number { (text::bounded(queue.waiting, BOUND)) }
                        td.number { (text::number(queue.in_progress)) }
                    } }
                }
            }
        }
        @if queues.len() == QUEUES { p.muted { "These are the first " (QUEUES) " queues by name." } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_found_in_a_remedy() {
        for (remedy, want) in [
            (
                "Run: select supaqueue.set_workers('a: b', 1);",
                Some(("Run:", "select supaqueue.set_workers('a: b', 1);", "")),
            ),
            (
                "pg_net is busy. See: select url from net.http_request_queue; If that does not shrink, wait.",
                Some((
                    "pg_net is busy. See:",
                    "select url from net.http_request_queue;",
                    "If that does not shrink, wait.",
                )),
            ),
            ("Run `npx supaqueue doctor`.", None),
            ("Note: select one", None),
        ] {
            assert_eq!(statement_in(remedy), want);
        }
    }
}
