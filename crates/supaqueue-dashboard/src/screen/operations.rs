//! Operations: bulk actions on jobs, and how far they are.

use std::sync::Arc;

use maud::{Markup, html};
use serde::Deserialize;

use super::{jobs, part};
use crate::action::{self, Look};
use crate::context::{Context, Page, Section};
use crate::error::Error;
use crate::fields::Fields;
use crate::search::{self, Filter};
use crate::{text, time};

/// Operations on a page; also in the query.
const OPERATIONS: usize = 50;

/// The address of an operation.
pub(crate) fn path(id: &str) -> String {
    format!("/operations/{}", part(id))
}

#[derive(Deserialize)]
struct Operation {
    id: String,
    action: String,
    /// As text, so that numbers keep their digits.
    filter: String,
    changes: Option<String>,
    per_second: Option<i64>,
    status: String,
    matched: i64,
    done: i64,
    refused: i64,
    last_refusal: Option<String>,
    created_at: String,
    created_by: String,
    finished_at: Option<String>,
    /// Done and refused per second, so far.
    rate: Option<f64>,
}

/// The columns of [`Operation`], from `o`.
macro_rules! operation {
    () => {
        "jsonb_build_object('id', o.id, 'action', o.action, 'filter', o.filter::text, 'changes', o.changes::text, 'per_second', o.per_second,
            'status', o.status, 'matched', o.matched, 'done', o.done, 'refused', o.refused, 'last_refusal', left(o.last_refusal, 2000),
            'created_at', o.created_at, 'created_by', o.created_by, 'finished_at', o.finished_at,
            'rate', o.matched / nullif(extract(epoch from coalesce(o.finished_at, clock_timestamp()) - o.created_at), 0))"
    };
}

pub(crate) async fn list(context: Arc<Context>) -> Result<Page, Error> {
    let before = context
        .query
        .get("before")
        .map(|id| search::uuid(id).ok_or_else(missing))
        .transpose()?;
    let query = concat!(
        "select coalesce(jsonb_agg(o.operation order by o.id desc), '[]') from (select o.id, ",
        operation!(),
        " as operation from supaqueue.operation o where o.id < coalesce($1::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff') order by o.id desc limit 50) o"
    );
    let operations: Vec<Operation> = context.database().read(query, &[before.as_deref()]).await?;
    let body = html! {
        h1 { "Operations" }
        @if operations.is_empty() {
            p.empty {
                @if before.is_some() { "There are no older operations." }
                @else { "There are no operations. Retry, cancel, delete or change all jobs that match a search on the page " a href="/jobs" { "Jobs" } "." }
            }
        } @else {
            div.table { table {
                caption.hidden { "Operations, the newest first" }
                thead { tr {
                    th scope="col" { "Operation" } th scope="col" { "Status" } th scope="col" { "Jobs" }
                    th.number scope="col" { "Matched" } th.number scope="col" { "Done" } th.number scope="col" { "Refused" }
                    th scope="col" { "Started" } th scope="col" { "Ended" }
                } }
                tbody { @for one in &operations { tr id=(format!("operation-{}", one.id)) {
                    th scope="row" { a data-row href=(path(&one.id)) { (one.action) } }
                    td { (status(&one.status)) }
                    td.excerpt { (filter(&one.filter)) }
                    td.number { (text::number(one.matched)) }
                    td.number { (text::number(one.done)) }
                    td.number { @if one.refused > 0 { span.bad { (text::number(one.refused)) } } @else { "0" } }
                    td.time { (time::relative(&one.created_at)) }
                    td.time { @if let Some(at) = &one.finished_at { (time::relative(at)) } }
                } } }
            } }
        }
        nav.pages aria-label="Pages" {
            @if before.is_some() { a href="/operations" { "← Newest" } }
            @if let Some(last) = operations.last().filter(|_| operations.len() == OPERATIONS) {
                a rel="next" href=(Fields::of([("before", &last.id)]).link("/operations")) { "Older →" }
            }
        }
    };
    Ok(Page::new(Section::Operations, "Operations", body))
}

fn missing() -> Error {
    Error::NotFound("There is no such operation: it was never committed, or it was deleted, as they are after 30 days.".into())
}

pub(crate) async fn show(context: Arc<Context>) -> Result<Page, Error> {
    let id = search::uuid(context.parameter("id")).ok_or_else(missing)?;
    let query = concat!(
        "select coalesce((select ",
        operation!(),
        " from supaqueue.operation o where o.id = $1::uuid), 'null')"
    );
    let found: Option<Operation> = context.database().read(query, &[Some(&id)]).await?;
    let one = found.ok_or_else(missing)?;
    let title = format!("{} jobs", capitalized(&one.action));
    let fields = Fields::of([("operation", &one.id)]);
    let body = html! {
        p.crumbs { a href="/operations" { "Operations" } " / Operation" }
        div.head {
            h1 { (title) " " span.beside { (status(&one.status)) } }
            div.buttons {
                @match one.status.as_str() {
                    "running" => (action::button(&context, "stop-operation", &fields, "Stop", Look::default())),
                    "stopped" => (action::button(&context, "resume-operation", &fields, "Resume", Look { is_primary: true, ..Look::default() })),
                    _ => {}
                }
            }
        }
        dl.facts.wide aria-live="polite" {
            div { dt { "Matched so far" } dd { (text::number(one.matched)) } }
            div { dt { "Done" } dd { (text::number(one.done)) } }
            div { dt { "Refused" } dd { (text::number(one.refused)) } }
            div { dt { "Jobs per second" } dd {
                (one.rate.map_or("0".into(), |rate| format!("{rate:.1}")))
                @if let Some(most) = one.per_second { small { " at most " (text::number(most)) } }
            } }
        }
        dl.facts {
            div { dt { "Jobs" } dd { (filter(&one.filter)) } }
            @if let Some(changes) = &one.changes { div { dt { "Changes" } dd { code { (text::short(changes, 2000)) } } } }
            div { dt { "Started" } dd { (time::relative(&one.created_at)) } }
            @if let Some(at) = &one.finished_at { div { dt { "Ended" } dd { (time::relative(at)) } } }
            div { dt { "Started by" } dd { (text::short(&one.created_by, 100)) } }
        }
        p.muted { "Only jobs that matched when it started. What has failed since then is left alone." }
        @if let Some(refusal) = &one.last_refusal {
            section aria-labelledby="refusal" {
                h2 #refusal { "Last refusal" }
                pre.message tabindex="0" { (text::block(refusal)) }
            }
        }
    };
    Ok(Page::new(Section::Operations, title, body))
}

/// Longer addresses are refused by servers, ours too.
const LONGEST_LINK: usize = 6000;

/// The filter in words, which lead to its jobs. One that this program does not understand is shown as it is.
fn filter(json: &str) -> Markup {
    let filter = Filter::from_json(json);
    html! {
        @match filter.as_ref().map(|filter| (filter.words(), jobs::link(filter))) {
            Some((_, link)) if link.len() > LONGEST_LINK => code { (text::short(json, 300)) },
            Some((words, link)) => a href=(link) {
                @if words.is_empty() { "all jobs" } @else { (text::short(&words, 300)) }
            },
            None => code { (text::short(json, 300)) },
        }
    }
}

fn status(status: &str) -> Markup {
    let (class, sign) = match status {
        "running" => ("current", "▶"),
        "done" => ("good", "✓"),
        _ => ("muted", "–"),
    };
    html! { span.status { span class=(class) aria-hidden="true" { (sign) } " " (status) } }
}

fn capitalized(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().collect::<String>() + characters.as_str()
    })
}
