//! One job: why it does not run, its life, its attempts, and what it carries.

use std::sync::Arc;

use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{jobs, part, pipelines, queue, schedules};
use crate::action::{self, Look};
use crate::context::{Context, Page, Reply, Section};
use crate::error::Error;
use crate::fields::Fields;
use crate::search::{self, Filter};
use crate::timeline::{self, Kind, Span};
use crate::{json, layout, text, time};

/// `supaqueue.show_job` cuts payload and result after so many characters.
const SHOWN: i64 = 100_000;

/// `supaqueue.show_job` returns so many sources and targets.
const NEIGHBOURS: usize = 100;

/// The address of a job.
pub(crate) fn path(id: &str) -> String {
    format!("/jobs/{}", part(id))
}

/// What `supaqueue.show_job` returns.
#[derive(Deserialize)]
struct Shown {
    explain: String,
    job: Value,
    queue: String,
    attempts: Vec<Value>,
    call: Option<Call>,
    sources: Vec<Neighbour>,
    targets: Vec<Neighbour>,
    schedule: Option<String>,
}

#[derive(Deserialize)]
struct Call {
    state: String,
    worker: String,
    run: Option<String>,
    lease_until: Option<String>,
    dispatches: i64,
}

/// A source or target. It may have been deleted.
#[derive(Deserialize)]
struct Neighbour {
    id: String,
    status: Option<String>,
    queue: Option<String>,
}

fn id(context: &Context) -> Result<String, Error> {
    search::uuid(context.parameter("id")).ok_or_else(missing)
}

fn missing() -> Error {
    Error::NotFound(
        "There is no such job: it was never committed, or it was deleted, as finished jobs are after a while.".into(),
    )
}

pub(crate) async fn show(context: Arc<Context>) -> Result<Page, Error> {
    let id = id(&context)?;
    let query = "select coalesce(supaqueue.show_job($1::uuid), 'null')";
    let shown: Option<Shown> = context.database().read(query, &[Some(&id)]).await?;
    let shown = shown.ok_or_else(missing)?;
    let job = &shown.job;
    let status = job["status"].as_str().unwrap_or_default();
    let body = html! {
        p.crumbs { a href="/jobs" { "Jobs" } " / " a href=(jobs::link(&of_queue(&shown.queue))) { (text::short(&shown.queue, 60)) } " / Job" }
        div.head {
            h1 { "Job " code { (jobs::short_id(&id)) } " " span.beside { (text::status(status)) } }
            (actions(&context, &id, status))
        }
        p.explain { (text::inline(&shown.explain)) }
        (life(job, &shown.attempts))
        (facts(&id, &shown))
        (attempts(&shown.attempts, status))
        (content(&id, "payload", "Payload", job))
        (content(&id, "result", "Result", job))
        (headers(&job["headers"]))
        (neighbours("sources", "Waits for", &id, &shown.sources))
        (neighbours("targets", "Jobs that wait for it", &id, &shown.targets))
        section aria-labelledby="replay" {
            h2 #replay { "Replay" }
            p { "Sends this job, with its payload and headers, to a function on your machine. Nothing changes in the queue." }
            p.copied { code { "supaqueue replay " (id) " --to http://127.0.0.1:8000" } (layout::copy()) }
        }
    };
    Ok(Page::new(
        Section::Jobs,
        format!("Job {}", jobs::short_id(&id)),
        body,
    ))
}

fn of_queue(name: &str) -> Filter {
    Filter {
        queue: vec![name.to_owned()],
        ..Filter::default()
    }
}

fn actions(context: &Context, id: &str, status: &str) -> Markup {
    let fields = Fields::of([("job", id)]);
    let has_ended = matches!(status, "successful" | "failed" | "cancelled");
    let look = |key| Look {
        key,
        ..Look::default()
    };
    html! {
        div.buttons {
            @if has_ended { (action::button(context, "retry-job", &fields, "Retry", look(Some('r')))) }
            @if matches!(status, "pending" | "waiting") { (action::button(context, "run-job", &fields, "Run now", look(None))) }
            @if !has_ended { (action::button(context, "cancel-job", &fields, "Cancel", look(Some('c')))) }
            (action::button(context, "delete-job", &fields, "Delete", look(None)))
        }
    }
}

/// The life of the job as a bar, and in words.
fn life(job: &Value, attempts: &[Value]) -> Markup {
    let now = Timestamp::now();
    let spans = timeline::spans(job, attempts, now);
    let widths = timeline::widths(&spans, now, 1000.0);
    let starts = widths.iter().scan(0.0, |end, width| {
        *end += width;
        Some(*end - width)
    });
    html! {
        section aria-labelledby="life" {
            h2 #life { "Life" }
            // The list says the same.
            svg.life viewBox="0 0 1000 24" preserveAspectRatio="none" aria-hidden="true" {
                @for ((span, width), x) in spans.iter().zip(&widths).zip(starts) {
                    rect class=(class(span.kind)) x=(format!("{x:.1}")) y="0" height="24" width=(format!("{:.1}", (width - 2.0).max(width * 0.7))) {
                        title { (words(span, now)) }
                    }
                }
            }
            ol.life {
                @for span in &spans {
                    li { span class=(class(span.kind)) aria-hidden="true" { "■ " } (words(span, now)) ", " span.muted { (time::exact(&span.from.to_string())) } }
                }
                @if let Some(end) = job["finished_at"].as_str() {
                    li { span.muted aria-hidden="true" { "■ " } (job["status"].as_str().unwrap_or_default()) ", " span.muted { (time::exact(end)) } }
                }
            }
        }
    }
}

fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Delay => "life-delay",
        Kind::Wait => "life-wait",
        Kind::Failed => "life-failed",
        Kind::Successful => "life-successful",
        Kind::Call => "life-call",
    }
}

fn words(span: &Span, now: Timestamp) -> String {
    let took = time::duration(span.ms(now) as f64);
    let number = span.attempt.unwrap_or_default();
    match (span.kind, span.to) {
        (Kind::Delay, Some(to)) if to > now => format!("not due yet, for {took} in all"),
        (Kind::Delay, _) => format!("not due for {took}"),
        (Kind::Wait, None) => format!("waiting for {took} so far"),
        (Kind::Wait, Some(_)) => format!("waited for {took}"),
        (Kind::Call, None) => format!("attempt {number}, running for {took}"),
        (Kind::Call, Some(_)) => format!("attempt {number}, ended with the job after {took}"),
        (Kind::Successful, _) => format!("attempt {number} succeeded after {took}"),
        (Kind::Failed, _) if !span.is_exact => {
            format!("attempt {number} started and failed within {took}")
        }
        (Kind::Failed, _) => format!("attempt {number} failed after {took}"),
    }
}

fn facts(id: &str, shown: &Shown) -> Markup {
    let text_of = |name: &str| match &shown.job[name] {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let at = |name: &str| text_of(name).map(|at| html! { (time::relative(&at)) });
    let plain = |name: &str| text_of(name).map(|value| text::short(&value, 300));
    let linked = |name: &str, filter: Filter| {
        text_of(name)
            .map(|value| html! { a href=(jobs::link(&filter)) { (text::short(&value, 300)) } })
    };
    let key = Filter {
        key: text_of("key").into_iter().collect(),
        ..of_queue(&shown.queue)
    };
    let tenant = Filter {
        tenant: text_of("tenant").into_iter().collect(),
        ..Filter::default()
    };
    let group = Filter {
        error_group: text_of("error_group").into_iter().collect(),
        status: vec!["failed".into()],
        ..of_queue(&shown.queue)
    };
    let rows = [
        ("Queue", Some(html! { a href=(queue::path(&shown.queue)) { (text::short(&shown.queue, 80)) } })),
        ("Schedule", shown.schedule.as_ref().map(|name| html! { a href=(schedules::path(name)) { (text::short(name, 80)) } })),
        ("Tenant", linked("tenant", tenant)),
        ("Key", linked("key", key)),
        ("Attempts", plain("attempts")),
        ("Attempts at most", plain("max_attempts")),
        ("Priority", plain("priority")),
        ("Created", at("created_at")),
        ("Due", at("run_at")),
        ("Started", at("started_at")),
        ("Ended", at("finished_at")),
        ("Last call took", shown.job["duration_ms"].as_f64().map(|ms| html! { (time::duration(ms)) })),
        ("HTTP status", plain("http_status")),
        ("Error group", linked("error_group", group)),
        ("Path", plain("path")),
        ("Timeout (ms)", plain("timeout_ms")),
        ("Call", shown.call.as_ref().map(|call| html! { (text::short(&call.state, 40)) ", sent " (text::count(call.dispatches, "time")) })),
        ("Worker", shown.call.as_ref().map(|call| html! { code { (text::short(&call.worker, 40)) } })),
        ("Run", shown.call.as_ref().and_then(|call| call.run.as_ref()).map(|run| html! { code { (text::short(run, 40)) } })),
        ("Lease until", shown.call.as_ref().and_then(|call| call.lease_until.as_ref()).map(|at| html! { (time::relative(at)) })),
    ];
    html! {
        dl.facts {
            div.copied { dt { "Id" } dd { code { (id) } (layout::copy()) } }
            @for (name, value) in rows {
                @if let Some(value) = value { div { dt { (name) } dd { (value) } } }
            }
        }
    }
}

fn attempts(attempts: &[Value], status: &str) -> Markup {
    let text_of = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let count = attempts.len();
    html! {
        section aria-labelledby="attempts" {
            h2 #attempts { "Attempts" }
            @if attempts.is_empty() { p.muted { "None yet." } }
            @for (i, attempt) in attempts.iter().enumerate().rev() {
                // Only the last one can have another outcome than failure: it is that of the job.
                @let outcome = if i + 1 == count && attempt["message"].is_null() { status } else { "failed" };
                article.attempt {
                    h3 {
                        "Attempt " (text_of(&attempt["attempt"]).unwrap_or_default()) " "
                        (text::status(outcome))
                    }
                    p.muted {
                        @let parts = [
                            attempt["started_at"].as_str().map(|at| html! { "started " (time::exact(at)) }),
                            attempt["at"].as_str().map(|at| html! { "ended " (time::exact(at)) }),
                            attempt["duration_ms"].as_f64().map(|ms| html! { "took " (time::duration(ms)) }),
                            text_of(&attempt["status"]).map(|status| html! { "HTTP " (text::short(&status, 20)) }),
                        ];
                        @for (i, part) in parts.iter().flatten().enumerate() { @if i > 0 { ", " } (part) }
                    }
                    @if let Some(message) = text_of(&attempt["message"]) { pre.message tabindex="0" { (text::block(&message)) } }
                    @if let Some(body) = text_of(&attempt["body"]) {
                        details { summary { "Body of the answer" } pre tabindex="0" { (text::block(&body)) } }
                    }
                }
            }
        }
    }
}

/// The payload or the result, and where to get the whole of it.
fn content(id: &str, name: &str, title: &str, job: &Value) -> Markup {
    let Some(shown) = job[format!("{name}_text")].as_str() else {
        return html! {};
    };
    let bytes = job[format!("{name}_bytes")].as_i64().unwrap_or_default();
    let is_cut = bytes > SHOWN && shown.chars().count() as i64 >= SHOWN;
    html! {
        section aria-labelledby=(name) {
            h2 id=(name) { (title) " " small.muted { (text::count(bytes, "byte")) } }
            @if is_cut { p.muted { "The first " (text::number(SHOWN)) " characters. " a href=(format!("{}/{name}", path(id))) download=(format!("{name}.json")) { "Download all of it" } } }
            div.content {
                pre tabindex="0" { (text::block(&json::pretty(shown))) }
                (layout::copy())
            }
        }
    }
}

/// Parts of names of headers whose values are not for every eye.
const SECRET: [&str; 8] = [
    "auth",
    "cookie",
    "token",
    "secret",
    "key",
    "password",
    "signature",
    "credential",
];

fn headers(headers: &Value) -> Markup {
    let empty = Map::new();
    let headers = headers.as_object().unwrap_or(&empty);
    let is_secret = |name: &str| {
        let name = name.to_ascii_lowercase();
        SECRET.iter().any(|part| name.contains(part))
    };
    html! {
        @if !headers.is_empty() {
            section aria-labelledby="headers" {
                h2 #headers { "Headers" }
                div.table { table {
                    caption.hidden { "Headers of the job" }
                    thead { tr { th scope="col" { "Header" } th scope="col" { "Value" } } }
                    tbody { @for (name, value) in headers {
                        tr {
                            th scope="row" { code { (text::short(name, 200)) } }
                            td.excerpt {
                                @if is_secret(name) { span.muted { "hidden: its name suggests a secret" } }
                                @else { (text::short(value.as_str().unwrap_or_default(), 2000)) }
                            }
                        }
                    } }
                } }
            }
        }
    }
}

fn neighbours(name: &str, title: &str, id: &str, neighbours: &[Neighbour]) -> Markup {
    html! {
        @if !neighbours.is_empty() {
            section aria-labelledby=(name) {
                h2 id=(name) { (title) }
                ul.plain { @for other in neighbours {
                    li {
                        (text::status(other.status.as_deref().unwrap_or("deleted"))) " "
                        a href=(path(&other.id)) title=(other.id) { code { (jobs::short_id(&other.id)) } }
                        @if let Some(queue) = &other.queue { " in " (text::short(queue, 80)) }
                    }
                } }
                p {
                    @if neighbours.len() == NEIGHBOURS { span.muted { "These are the first " (NEIGHBOURS) ". " } }
                    a href=(pipelines::path(id)) { "Show the pipeline" }
                }
            }
        }
    }
}

pub(crate) async fn payload(context: Arc<Context>) -> Result<Reply, Error> {
    whole(&context, "select coalesce((select to_jsonb(j.payload::text) from supaqueue.job j where j.id = $1::uuid), 'null')").await
}

pub(crate) async fn result(context: Arc<Context>) -> Result<Reply, Error> {
    whole(&context, "select coalesce((select to_jsonb(j.result::text) from supaqueue.job j where j.id = $1::uuid), 'null')").await
}

async fn whole(context: &Context, query: &str) -> Result<Reply, Error> {
    let text: Option<String> = context
        .database()
        .read(query, &[Some(&id(context)?)])
        .await?;
    text.map(Reply::Text).ok_or_else(missing)
}
