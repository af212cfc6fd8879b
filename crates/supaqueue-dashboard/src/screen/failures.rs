//! Failures: failed jobs by cause, and what can be done with all of a cause.

use std::sync::Arc;

use maud::{Markup, html};
use serde::Deserialize;

use super::{job, jobs, queue};
use crate::action::{self, Look};
use crate::context::{Context, Page, Section};
use crate::error::Error;
use crate::fields::Fields;
use crate::search::Filter;
use crate::{text, time};

/// Groups that are shown, at most.
const GROUPS: usize = 100;

/// `supaqueue.failures` counts up to this.
const BOUND: i64 = 100_001;

#[derive(Deserialize)]
struct Failures {
    groups: Vec<Group>,
    queues: Vec<String>,
}

/// A row of `supaqueue.failures`.
#[derive(Deserialize)]
struct Group {
    queue: String,
    error_group: String,
    jobs: i64,
    first_at: Option<String>,
    last_at: Option<String>,
    last_job: String,
    http_status: Option<i64>,
    message: Option<String>,
}

pub(crate) async fn show(context: Arc<Context>) -> Result<Page, Error> {
    let queue = context.query.get("queue");
    let query = "select jsonb_build_object(
        'groups', (select coalesce(jsonb_agg(to_jsonb(f) order by f.last_at desc), '[]') from supaqueue.failures($1, 101) f),
        'queues', (select coalesce(jsonb_agg(n.name order by n.name), '[]') from (select q.name from supaqueue.queue q order by q.name limit 500) n))";
    let failures: Failures = context.database().read(query, &[queue]).await?;
    let groups = &failures.groups[..failures.groups.len().min(GROUPS)];
    let body = html! {
        h1 { "Failures" }
        form.inline.choices method="get" action="/failures" {
            label for="queue" { "Queue" }
            select #queue name="queue" data-submit {
                option value="" selected[queue.is_none()] { "all" }
                @for name in &failures.queues { option value=(name) selected[queue == Some(name.as_str())] { (text::plain(&text::cut(name, 60))) } }
                @if let Some(name) = queue { @if !failures.queues.iter().any(|other| other == name) {
                    option value=(name) selected { (text::plain(&text::cut(name, 60))) }
                } }
            }
            button.small.needs-no-script { "Show" }
        }
        @if groups.is_empty() {
            p.empty { @if let Some(name) = queue { "No job of " (text::short(name, 80)) " has failed." } @else { "No job has failed." } }
        }
        @for group in groups { (show_group(&context, group)) }
        @if failures.groups.len() > GROUPS {
            p.muted { "These are the " (GROUPS) " groups that failed last. Choose a queue to see others." }
        }
    };
    Ok(Page::new(Section::Failures, "Failures", body))
}

fn show_group(context: &Context, group: &Group) -> Markup {
    let filter = Filter {
        queue: vec![group.queue.clone()],
        status: vec!["failed".into()],
        error_group: vec![group.error_group.clone()],
        ..Filter::default()
    };
    let back = context.query.with("notice", None).link("/failures");
    let fields = Fields::of([("filter", &filter.json()), ("back", &back)]);
    html! {
        article.group {
            h2 { (text::short(group.message.as_deref().unwrap_or(&group.error_group), 300)) }
            p {
                a href=(jobs::link(&filter)) {
                    @if group.jobs >= BOUND { "more than 100,000 jobs" } @else { (text::count(group.jobs, "job")) }
                }
                " of " a href=(queue::path(&group.queue)) { (text::short(&group.queue, 80)) }
                @if let Some(status) = group.http_status { ", HTTP " (status) }
                @if let Some(at) = &group.last_at { ", last " a href=(job::path(&group.last_job)) { (time::relative(at)) } }
                @if let (Some(at), true) = (&group.first_at, group.jobs > 1) { ", first " (time::relative(at)) }
            }
            p.muted { "Group " code { (text::short(&group.error_group, 300)) } }
            div.buttons {
                (action::button(context, "retry-jobs", &fields, "Retry all", Look::default()))
                (action::button(context, "delete-jobs", &fields, "Delete all", Look::default()))
            }
        }
    }
}
