//! What to know first: problems, totals, charts, and the queues.

use std::sync::Arc;

use maud::{Markup, html};
use serde::Deserialize;

use super::queue;
use crate::context::{Context, Page, Section};
use crate::error::Error;
use crate::text;

#[derive(Deserialize)]
struct Overview {
    problems: Vec<Problem>,
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
    name: String,
    is_paused: bool,
    workers: i64,
    busy_workers: i64,
    pending: i64,
    waiting: i64,
    in_progress: i64,
}

const QUERY: &str = "
select jsonb_build_object(
  'problems', (select coalesce(jsonb_agg(p), '[]') from supaqueue.problem p),
  'queues', (
    select coalesce(jsonb_agg(s order by s.name), '[]')
    from (select q.name, q.is_paused, q.workers, q.busy_workers, q.pending, q.waiting, q.in_progress from supaqueue.queue_status q) s
  )
)";

pub(crate) async fn show(context: Arc<Context>) -> Result<Page, Error> {
    let overview: Overview = context.database().read(QUERY, &[]).await?;
    let body = html! {
        h1 { "Overview" }
        (problems(&overview.problems))
        section aria-labelledby="queues" {
            h2 #queues { "Queues" }
            div.table {
                table {
                    caption.hidden { "The queues, with their workers and jobs" }
                    thead { tr {
                        th scope="col" { "Queue" }
                        th.number scope="col" { "Workers" }
                        th.number scope="col" { "Pending" }
                        th.number scope="col" { "Waiting" }
                        th.number scope="col" { "In progress" }
                    } }
                    tbody {
                        @for queue in &overview.queues { tr {
                            th scope="row" {
                                a data-row href=(queue::path(&queue.name)) { (text::short(&queue.name, 80)) }
                                @if queue.is_paused { " " span.tag { "‖ paused" } }
                            }
                            td.number { (queue.busy_workers) " of " (queue.workers) " busy" }
                            td.number { (text::bounded(queue.pending, 100_001)) }
                            td.number { (text::bounded(queue.waiting, 100_001)) }
                            td.number { (text::number(queue.in_progress)) }
                        } }
                    }
                }
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
                    strong { "⚠ Problem" }
                    @if let Some(name) = &problem.queue { " in " a href=(queue::path(name)) { (text::short(name, 80)) } }
                    @if let Some(id) = &problem.job { ", " a href=(super::job::path(id)) { "job" } }
                    ": " (text::inline(&problem.problem))
                }
                p.remedy data-copy { (text::inline(&problem.remedy)) }
            }
        }
    }
}
