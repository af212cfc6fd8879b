//! One queue: its state, settings, charts and failures.

use std::sync::Arc;

use axum::http::StatusCode;
use maud::{Markup, Render, html};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::overview::{self, Problem};
use super::part;
use crate::action::{self, Look};
use crate::chart::{Charts, Period};
use crate::context::{Context, Page, Section};
use crate::error::{Error, Refusal};
use crate::fields::Fields;
use crate::sql::{literal, literal_or_null};
use crate::{text, time};

/// The address of a queue.
pub(crate) fn path(name: &str) -> String {
    format!("/queues/{}", part(name))
}

/// A column of `supaqueue.queue` that can be edited.
pub(crate) struct Setting {
    pub(crate) column: &'static str,
    label: &'static str,
    help: &'static str,
    kind: Kind,
}

/// How a setting is written.
enum Kind {
    Text,
    /// Text, and null where it is empty.
    OptionalText,
    Number,
    /// JSON, and null where it is empty.
    Json,
    /// Numbers with commas between them.
    Numbers,
    /// An interval, and null where it is empty.
    Interval,
    OneOf(&'static [&'static str]),
    /// The name of a queue, and null where it is empty.
    Queue,
}

pub(crate) const SETTINGS: [Setting; 16] = [
    Setting {
        column: "edge_function_name",
        label: "Edge function",
        help: "The function that is called: its name, as in supabase/functions.",
        kind: Kind::Text,
    },
    Setting {
        column: "path",
        label: "Path",
        help: "What follows the function's name in the address of each call.",
        kind: Kind::OptionalText,
    },
    Setting {
        column: "default_headers",
        label: "Headers",
        help: "A JSON object of strings. Put no secrets here.",
        kind: Kind::Json,
    },
    Setting {
        column: "auth",
        label: "API key of calls",
        help: "service_role bypasses row level security.",
        kind: Kind::OneOf(&["service_role", "anon", "none"]),
    },
    Setting {
        column: "max_attempts",
        label: "Attempts",
        help: "Calls of a job, including the first, before it fails.",
        kind: Kind::Number,
    },
    Setting {
        column: "timeout_ms",
        label: "Timeout (ms)",
        help: "How long a call may take, at most 150000.",
        kind: Kind::Number,
    },
    Setting {
        column: "backoff_base_ms",
        label: "First backoff (ms)",
        help: "Upper bound of the wait before the first retry. It doubles with each attempt.",
        kind: Kind::Number,
    },
    Setting {
        column: "backoff_max_ms",
        label: "Longest backoff (ms)",
        help: "The bound grows no further than this.",
        kind: Kind::Number,
    },
    Setting {
        column: "final_statuses",
        label: "Final statuses",
        help: "HTTP statuses that fail a job without a retry, such as 400, 422.",
        kind: Kind::Numbers,
    },
    Setting {
        column: "keep_successful_for",
        label: "Keep successful jobs for",
        help: "Such as 7 days. Empty: forever.",
        kind: Kind::Interval,
    },
    Setting {
        column: "keep_failed_for",
        label: "Keep failed jobs for",
        help: "Such as 30 days. Empty: forever.",
        kind: Kind::Interval,
    },
    Setting {
        column: "key_held",
        label: "Key held",
        help: "Until the first attempt starts, until the job ends, or also after success.",
        kind: Kind::OneOf(&["pending", "unfinished", "successful"]),
    },
    Setting {
        column: "key_held_for",
        label: "Key held after success for",
        help: "Only with successful. Empty: as long as the job is kept.",
        kind: Kind::Interval,
    },
    Setting {
        column: "postpone_at_most",
        label: "Postponed at most for",
        help: "From the first request on. Empty: no limit.",
        kind: Kind::Interval,
    },
    Setting {
        column: "on_end",
        label: "Notify queue",
        help: "The name of a queue that gets a job when a job of this one ends, for alerts. Empty: none.",
        kind: Kind::Queue,
    },
    Setting {
        column: "on_end_of",
        label: "Notify about",
        help: "Failed jobs only, or all that end.",
        kind: Kind::OneOf(&["failed", "all"]),
    },
];

impl Setting {
    /// What a form says, as SQL. The database decides whether it will do.
    pub(crate) fn literal(&self, value: &str) -> String {
        let value = value.trim();
        let some = Some(value).filter(|value| !value.is_empty());
        match self.kind {
            Kind::Number if is_number(value) => value.to_owned(),
            Kind::Number | Kind::Text | Kind::OneOf(_) => literal(value),
            Kind::OptionalText | Kind::Json | Kind::Interval => literal_or_null(some),
            Kind::Queue => some.map_or_else(
                || "null".into(),
                |name| format!("supaqueue.queue_id({})", literal(name)),
            ),
            Kind::Numbers => literal(&format!("{{{value}}}")),
        }
    }

    /// A value of the database, as a form shows it.
    fn show(&self, value: &Value) -> String {
        match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Array(values) => {
                let values: Vec<String> = values.iter().map(Value::to_string).collect();
                values.join(", ")
            }
            value => value.to_string(),
        }
    }
}

fn is_number(text: &str) -> bool {
    (1..10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[derive(Deserialize)]
struct Queue {
    status: Status,
    settings: Map<String, Value>,
    problems: Vec<Problem>,
    failures: Vec<Failure>,
    oldest_due: Option<Due>,
}

/// A row of `supaqueue.queue_status`.
#[derive(Deserialize)]
struct Status {
    is_paused: bool,
    workers: i64,
    busy_workers: i64,
    pending: i64,
    waiting: i64,
    in_progress: i64,
}

/// A row of `supaqueue.failures`.
#[derive(Deserialize)]
struct Failure {
    error_group: String,
    jobs: i64,
    last_at: String,
    last_job: String,
    http_status: Option<i64>,
    message: Option<String>,
}

/// The job that waits longest.
#[derive(Deserialize)]
struct Due {
    id: String,
    run_at: String,
    explain: String,
}

/// What marks a paused queue or schedule.
pub(crate) struct Paused;

impl Render for Paused {
    fn render(&self) -> Markup {
        html! { span.tag { "paused" } }
    }
}

async fn load(context: &Context, name: &str) -> Result<Queue, Error> {
    let queue: Option<Queue> = context
        .database()
        .read(include_str!("queue.sql"), &[Some(name)])
        .await?;
    queue.ok_or_else(|| Error::NotFound(format!("There is no queue named {name}.")))
}

pub(crate) async fn show(context: Arc<Context>) -> Result<Page, Error> {
    let name = context.parameter("name");
    let period = Period::of_page(&context);
    // The charts of a queue that does not exist are an error.
    let queue = load(&context, name).await?;
    let charts = Charts::load(&context, Some(name), period).await?;
    let status = &queue.status;
    let fields = Fields::of([("queue", name)]);
    let jobs = |fields: Fields| fields.with("queue", Some(name)).link("/jobs");
    let of_status = |status: &str| jobs(Fields::of([("status", status)]));
    let body = html! {
        p.crumbs { a href="/" { "Overview" } " / Queue" }
        div.head {
            h1 { (text::inline(name)) @if status.is_paused { " " (Paused) } }
            div.buttons {
                @if status.is_paused {
                    (action::button(&context, "resume-queue", &fields, "Resume", Look { is_primary: true, ..Look::default() }))
                } @else {
                    (action::button(&context, "pause-queue", &fields, "Pause", Look::default()))
                }
                a.button href=(jobs(Fields::default())) { "Jobs" }
                a.button href=(format!("{}/settings", path(name))) { "Settings" }
            }
        }
        (overview::problems(&queue.problems))
        dl.facts.wide {
            div { dt { "Busy workers" } dd { (text::number(status.busy_workers)) small { " of " (text::number(status.workers)) } } }
            div { dt { "Pending" } dd { a href=(of_status("pending")) { (text::bounded(status.pending, overview::BOUND)) } } }
            div { dt { "Waiting" } dd { a href=(of_status("waiting")) { (text::bounded(status.waiting, overview::BOUND)) } } }
            div { dt { "In progress" } dd { a href=(of_status("in_progress")) { (text::number(status.in_progress)) } } }
            div { dt { "Successful, " (period.label) } dd { a href=(of_status("successful")) { (text::number(charts.total(|point| point.succeeded))) } } }
            div { dt { "Failed, " (period.label) } dd { a href=(of_status("failed")) { (text::number(charts.total(|point| point.failed))) } } }
        }
        @if let Some(due) = &queue.oldest_due {
            p { "The job that waits longest is " a href=(super::job::path(&due.id)) { "due since " (time::relative(&due.run_at)) } ". " (text::inline(&due.explain)) }
        }
        @if !context.is_read_only() {
            form.inline method="get" action=(action::confirm_path("set-workers")) {
                input type="hidden" name="queue" value=(name);
                label for="workers" { "Workers" }
                input #workers type="number" name="workers" min="0" max="10000" required value=(status.workers);
                button { "Set" }
            }
        }
        div.head { h2 { "Charts" } (period.choice(&context)) }
        (charts.show(period))
        section aria-labelledby="failures" {
            h2 #failures { "Failures" }
            @if queue.failures.is_empty() {
                p.empty { "No job of this queue has failed." }
            } @else {
                (failures(name, &queue.failures))
                p.muted { a href=(Fields::of([("queue", name)]).link("/failures")) { "All failures of this queue" } }
            }
        }
    };
    Ok(Page::new(Section::Overview, format!("Queue {name}"), body))
}

fn failures(name: &str, failures: &[Failure]) -> Markup {
    html! {
        div.table {
            table {
                caption.hidden { "The most frequent failures" }
                thead { tr { th scope="col" { "Failure" } th.number scope="col" { "Jobs" } th scope="col" { "Last" } } }
                tbody {
                    @for failure in failures {
                        @let fields = Fields::of([("queue", name), ("error_group", &failure.error_group)]);
                        tr {
                            th scope="row" {
                                a data-row href=(fields.link("/jobs")) { (text::short(failure.message.as_deref().unwrap_or(&failure.error_group), 160)) }
                                @if let Some(status) = failure.http_status { " " span.tag { "HTTP " (status) } }
                            }
                            td.number { (text::bounded(failure.jobs, overview::BOUND)) }
                            td { a href=(super::job::path(&failure.last_job)) { (time::relative(&failure.last_at)) } }
                        }
                    }
                }
            }
        }
    }
}

/// The form of the settings. Its address can carry values: what was entered survives a step back.
pub(crate) async fn settings(context: Arc<Context>) -> Result<Page, Error> {
    settings_page(&context, context.parameter("name"), &context.query, None).await
}

/// The form again, with what was entered, and why the database refused it.
pub(crate) async fn refused(
    context: &Context,
    fields: &Fields,
    refusal: &Refusal,
) -> Result<Page, Error> {
    settings_page(context, fields.required("queue")?, fields, Some(refusal)).await
}

async fn settings_page(
    context: &Context,
    name: &str,
    fields: &Fields,
    refusal: Option<&Refusal>,
) -> Result<Page, Error> {
    let queue = load(context, name).await?;
    let body = html! {
        p.crumbs { a href="/" { "Overview" } " / " a href=(path(name)) { (text::short(name, 80)) } " / Settings" }
        h1 { "Settings of " (text::inline(name)) }
        @if let Some(refusal) = refusal {
            section.problem role="alert" { h2 { "The database refused this" } (refusal.show()) }
        }
        (form(context, name, fields, &queue.settings))
    };
    let page = Page::new(Section::Overview, format!("Settings of {name}"), body).still();
    Ok(match refusal {
        None => page,
        Some(_) => Page {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            ..page
        },
    })
}

/// The settings, with what is in `fields` over what is in the database.
fn form(context: &Context, name: &str, fields: &Fields, settings: &Map<String, Value>) -> Markup {
    html! {
        form.settings method="get" action=(action::confirm_path("change-queue")) {
            input type="hidden" name="queue" value=(name);
            @for setting in &SETTINGS {
                @let was = setting.show(settings.get(setting.column).unwrap_or(&Value::Null));
                @let value = fields.raw(setting.column).unwrap_or(&was);
                div.field {
                    label for=(setting.column) { (setting.label) " " code.muted { (setting.column) } }
                    input type="hidden" name=(format!("was.{}", setting.column)) value=(was);
                    @let help = format!("{}-help", setting.column);
                    @match setting.kind {
                        Kind::OneOf(values) => select id=(setting.column) name=(setting.column) aria-describedby=(help) {
                            @for one in values { option selected[*one == value] { (one) } }
                        },
                        Kind::Json => textarea id=(setting.column) name=(setting.column) aria-describedby=(help) rows="3" spellcheck="false" { "\n" (value) },
                        _ => input type="text" id=(setting.column) name=(setting.column) value=(value) aria-describedby=(help) autocomplete="off" spellcheck="false";,
                    }
                    p.muted id=(help) { (setting.help) }
                }
            }
            div.buttons {
                @if !context.is_read_only() { button.primary { "Review the change" } }
                a.button href=(path(name)) { "Back" }
            }
        }
    }
}
