//! Jobs: a search, its pages, and what can be done with all that it finds.

use std::sync::Arc;

use axum::http::StatusCode;
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::json;

use super::{job, queue};
use crate::action::{confirm_path, hidden};
use crate::context::{Context, Page, Section};
use crate::error::Error;
use crate::fields::Fields;
use crate::search::{Filter, STATUSES, WORDS};
use crate::{text, time};

/// Queues that can be chosen from a list, at most; also in the query.
const QUEUES: usize = 500;

/// The address of a search.
pub(crate) fn link(filter: &Filter) -> String {
    match filter.is_empty() {
        true => "/jobs".into(),
        false => Fields::of([("q", &filter.words())]).link("/jobs"),
    }
}

#[derive(Deserialize)]
struct Found {
    page: Jobs,
    queues: Vec<String>,
}

/// A page of `supaqueue.list_jobs`.
#[derive(Deserialize)]
struct Jobs {
    jobs: Vec<Job>,
    next: Option<String>,
    examined: i64,
}

#[derive(Deserialize)]
struct Job {
    id: String,
    queue: String,
    status: String,
    key: Option<String>,
    tenant: Option<String>,
    run_at: String,
    created_at: String,
    finished_at: Option<String>,
    attempts: i64,
    max_attempts: i64,
    http_status: Option<i64>,
    duration_ms: Option<f64>,
    error: Option<String>,
}

pub(crate) async fn show(context: Arc<Context>) -> Result<Page, Error> {
    let words = context.query.get("q").unwrap_or_default();
    let cursor = context.query.get("cursor");
    let filter = match filter(&context.query) {
        Ok(filter) => filter,
        Err(why) => return Ok(refused(words, text::inline(&why))),
    };
    let query = "select jsonb_build_object(
        'page', supaqueue.list_jobs($1::jsonb, 50, $2),
        'queues', (select coalesce(jsonb_agg(n.name order by n.name), '[]') from (select q.name from supaqueue.queue q order by q.name limit 500) n))";
    let found: Found = match context
        .database()
        .read(query, &[Some(&filter.json()), cursor])
        .await
    {
        Ok(found) => found,
        Err(Error::Refused(refusal)) => {
            let words = if words.is_empty() {
                filter.words()
            } else {
                words.to_owned()
            };
            return Ok(refused(&words, refusal.show()));
        }
        Err(error) => return Err(error),
    };
    let page = &found.page;
    let body = html! {
        h1 { "Jobs" }
        (search(&filter.words()))
        div.choices {
            (statuses(&filter))
            (queues(&filter, &found.queues))
        }
        @if page.jobs.is_empty() {
            p.empty {
                @match (&page.next, cursor, filter.is_empty()) {
                    (Some(_), _, _) => { "None of these " (text::number(page.examined)) " jobs match. There are more." }
                    (None, Some(_), _) => "There are no more jobs.",
                    (None, None, true) => { "There are no jobs yet. " code { "select supaqueue.enqueue('a queue');" } " inserts one." }
                    (None, None, false) => { "No job matches. " a href="/jobs" { "Show all jobs" } }
                }
            }
        } @else {
            (for_all(&context, &filter))
            (table(&context, &page.jobs))
        }
        nav.pages aria-label="Pages" {
            @if cursor.is_some() { a href=(link(&filter)) { "← Newest" } }
            @if let Some(next) = &page.next {
                @if page.jobs.len() < 50 && !page.jobs.is_empty() {
                    span.muted { "Looked at " (text::number(page.examined)) " jobs. " }
                }
                a rel="next" href=(Fields::of([("q", &filter.words()), ("cursor", next)]).link("/jobs")) {
                    @if page.jobs.len() < 50 { "Go on searching →" } @else { "Older →" }
                }
            }
        }
    };
    Ok(Page::new(Section::Jobs, "Jobs", body))
}

/// The search words, and fields of links and of the list of queues over them.
fn filter(fields: &Fields) -> Result<Filter, String> {
    let mut filter = Filter::parse(fields.get("q").unwrap_or_default())?;
    if let Some(status) = fields.get("status") {
        filter.status = Filter::parse(
            &Filter {
                status: vec![status.to_owned()],
                ..Filter::default()
            }
            .words(),
        )?
        .status;
    }
    if let Some(queue) = fields.raw("queue") {
        filter.queue = Some(queue)
            .filter(|queue| !queue.is_empty())
            .map(str::to_owned)
            .into_iter()
            .collect();
    }
    Ok(filter)
}

/// The page that says why the words cannot be searched for, with the words in the field.
fn refused(words: &str, why: Markup) -> Page {
    let body = html! {
        h1 { "Jobs" }
        (search(words))
        section.problem role="alert" { h2 { "Cannot search for this" } (why) }
        (help(true))
        p { a href="/jobs" { "Show all jobs" } }
    };
    Page {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        ..Page::new(Section::Jobs, "Jobs", body).still()
    }
}

fn search(words: &str) -> Markup {
    html! {
        form.search method="get" action="/jobs" role="search" {
            label.hidden for="q" { "Search words" }
            input #q type="search" name="q" value=(words) placeholder="queue:emails status:failed" autocomplete="off"
                autocapitalize="off" spellcheck="false" maxlength="6000";
            button { "Search" }
        }
        @if words.is_empty() { (help(false)) }
    }
}

fn help(is_open: bool) -> Markup {
    html! {
        details.words open[is_open] {
            summary { "Search words" }
            dl.keys {
                @for word in &WORDS { div { dt { code { (word.example) } } dd { (word.meaning) } } }
            }
            p.muted { "Quote values with spaces: " code { "key:\"order 1\"" } ". A repeated word widens the search: "
                code { "status:failed status:cancelled" } ". Times without an offset are in UTC." }
        }
    }
}

fn statuses(filter: &Filter) -> Markup {
    let of = |statuses: &[&str]| {
        let status = statuses.iter().map(ToString::to_string).collect();
        link(&Filter {
            status,
            ..filter.clone()
        })
    };
    html! {
        nav.segments aria-label="Status" {
            a href=(of(&[])) aria-current=[filter.status.is_empty().then_some("true")] { "All" }
            @for status in STATUSES {
                a href=(of(&[status])) aria-current=[(filter.status == [status]).then_some("true")] { (status.replace('_', " ")) }
            }
        }
    }
}

fn queues(filter: &Filter, names: &[String]) -> Markup {
    let chosen = filter.queue.first();
    let rest = Filter {
        queue: Vec::new(),
        ..filter.clone()
    }
    .words();
    html! {
        form.inline method="get" action="/jobs" {
            input type="hidden" name="q" value=(rest);
            label for="queue" { "Queue" }
            select #queue name="queue" data-submit {
                option value="" selected[filter.queue.is_empty()] { "all" }
                @if filter.queue.len() > 1 { option value="" selected disabled { "several" } }
                @for name in names {
                    option value=(name) selected[filter.queue.len() == 1 && chosen == Some(name)] { (text::plain(&text::cut(name, 60))) }
                }
                @if let [name] = filter.queue.as_slice() {
                    @if !names.contains(name) { option value=(name) selected { (text::plain(&text::cut(name, 60))) } }
                }
            }
            button.small.needs-no-script { "Show" }
            @if names.len() == QUEUES { small.muted { "the first " (QUEUES) } }
        }
    }
}

/// What is done with the jobs that a form is about.
const ACTIONS: [(&str, &str, Option<&str>); 3] = [
    ("retry-jobs", "Retry", Some("r")),
    ("cancel-jobs", "Cancel", Some("c")),
    ("delete-jobs", "Delete", None),
];

/// Buttons for all jobs that match, not only those on the page.
fn for_all(context: &Context, filter: &Filter) -> Markup {
    let fields = Fields::of([("filter", &filter.json()), ("back", &link(filter))]);
    html! {
        @if !context.is_read_only() {
            div.bulk role="group" aria-label="All jobs that match" {
                span { @if filter.is_empty() { "All jobs:" } @else { "All that match:" } }
                @for (action, label, _) in ACTIONS {
                    form.action method="get" action=(confirm_path(action)) {
                        (hidden(&fields))
                        button.small { (label) }
                    }
                }
                form.action method="get" action=(confirm_path("change-jobs")) {
                    (hidden(&fields))
                    (run_now())
                }
                form.inline method="get" action=(confirm_path("change-jobs")) {
                    (hidden(&fields))
                    (priority("priority-of-all", true))
                }
            }
        }
    }
}

fn run_now() -> Markup {
    let changes = json!({ "run_at": Timestamp::now().to_string() }).to_string();
    html! { button.small name="changes" value=(changes) { "Run now" } }
}

fn priority(id: &str, is_of_all: bool) -> Markup {
    html! {
        label for=(id) { "Priority" }
        input id=(id) type="number" name="priority" step="1" required[is_of_all] placeholder="0";
        button.small formaction=(confirm_path("change-jobs")) data-needs-selection[!is_of_all] { "Change" }
    }
}

fn table(context: &Context, jobs: &[Job]) -> Markup {
    let can_act = !context.is_read_only();
    let rows = html! {
        div.table {
            table.jobs {
                caption.hidden { "Jobs" }
                thead { tr {
                    @if can_act { th.box scope="col" {
                        input.needs-script type="checkbox" data-select-all aria-label="Select all jobs on this page";
                    } }
                    th scope="col" { "Status" }
                    th scope="col" { "Job" }
                    th scope="col" { "Queue" }
                    th.number scope="col" { "Attempts" }
                    th scope="col" { "Created" }
                    th scope="col" { "Ended" }
                    th.number scope="col" { "Took" }
                    th.number scope="col" { "HTTP" }
                    th scope="col" { "Error" }
                } }
                tbody { @for job in jobs { (row(job, can_act)) } }
            }
        }
    };
    html! {
        @if can_act {
            form method="get" action=(confirm_path("retry-jobs")) {
                input type="hidden" name="back" value=(context.query.with("notice", None).link("/jobs"));
                (rows)
                div.bulk.selection role="group" aria-label="Selected jobs" {
                    span { output.needs-script data-selected { "0" } " selected:" }
                    @for (action, label, key) in ACTIONS {
                        button.small formaction=(confirm_path(action)) data-key=[key] data-needs-selection { (label) }
                    }
                    button.small formaction=(confirm_path("change-jobs")) name="changes" data-needs-selection
                        value=(json!({ "run_at": Timestamp::now().to_string() }).to_string()) { "Run now" }
                    (priority("priority-of-selected", false))
                }
            }
        } @else {
            (rows)
        }
    }
}

fn row(job: &Job, can_act: bool) -> Markup {
    let short = short_id(&job.id);
    html! {
        tr id=(format!("job-{}", job.id)) {
            @if can_act { td.box { input type="checkbox" name="id" value=(job.id) aria-label=(format!("Select job {short}")); } }
            td { (text::status(&job.status)) }
            th scope="row" {
                a data-row href=(job::path(&job.id)) title=(job.id) { code { (short) } }
                @if let Some(tenant) = &job.tenant { br; small.muted { "for " (text::short(tenant, 60)) } }
                @if let Some(key) = &job.key { br; small.muted { (text::short(key, 60)) } }
            }
            td.name { a href=(queue::path(&job.queue)) { (text::short(&job.queue, 40)) } }
            td.number { (text::number(job.attempts)) span.muted { " / " (text::number(job.max_attempts)) } }
            td.time {
                (time::relative(&job.created_at))
                @if job.status == "pending" && job.run_at > job.created_at { br; small.muted { "due " (time::relative(&job.run_at)) } }
            }
            td.time { @if let Some(at) = &job.finished_at { (time::relative(at)) } }
            td.number { @if let Some(ms) = job.duration_ms { (time::duration(ms)) } }
            td.number { @if let Some(status) = job.http_status { (status) } }
            td.excerpt { @if let Some(error) = &job.error { (text::short(error, 120)) } }
        }
    }
}

/// The end of an id, in which jobs of the same moment differ.
pub(super) fn short_id(id: &str) -> &str {
    id.len()
        .checked_sub(8)
        .and_then(|start| id.get(start..))
        .unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_links_restrict_a_search() {
        for (query, want) in [
            ("", "{}"),
            (
                "q=key%3Aa&queue=emails&status=failed",
                r#"{"queue":"emails","status":"failed","key":"a"}"#,
            ),
            (
                "q=queue%3Aa+status%3Apending&queue=b",
                r#"{"queue":"b","status":"pending"}"#,
            ),
            ("q=queue%3Aa&queue=", "{}"),
            ("queue=a+b%22", r#"{"queue":"a b\""}"#),
        ] {
            assert_eq!(
                filter(&Fields::parse(query).unwrap()).unwrap().json(),
                want,
                "{query}"
            );
        }
        assert!(
            filter(&Fields::of([("status", "done")]))
                .unwrap_err()
                .contains("No job has the status")
        );
    }

    #[test]
    fn a_link_leads_to_the_same_search() {
        let found = Filter::parse("key:\"a&b #ü\" payload:{\"a\":1.0}").unwrap();
        let link = link(&found);
        let fields = Fields::parse(link.strip_prefix("/jobs?").unwrap()).unwrap();
        assert_eq!(filter(&fields).unwrap().json(), found.json());
    }
}
