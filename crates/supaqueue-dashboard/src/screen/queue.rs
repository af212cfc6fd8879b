//! One queue: its state, settings, charts and failures.

use std::sync::Arc;

use axum::http::StatusCode;
use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::part;
use crate::action::{self, Look};
use crate::context::{Context, Page, Section};
use crate::error::{Error, Refusal};
use crate::fields::Fields;
use crate::sql::{literal, literal_or_null};
use crate::text;

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
}

pub(crate) const SETTINGS: [Setting; 14] = [
    Setting { column: "edge_function_name", label: "Edge function", help: "The function that is called: its name, as in supabase/functions.", kind: Kind::Text },
    Setting { column: "path", label: "Path", help: "What follows the function's name in the address of each call.", kind: Kind::OptionalText },
    Setting { column: "default_headers", label: "Headers", help: "A JSON object of strings. Put no secrets here.", kind: Kind::Json },
    Setting { column: "auth", label: "Key that calls carry", help: "service_role bypasses row level security.", kind: Kind::OneOf(&["service_role", "anon", "none"]) },
    Setting { column: "max_attempts", label: "Attempts", help: "Calls of a job, the first one included, before it is failed.", kind: Kind::Number },
    Setting { column: "timeout_ms", label: "Timeout (ms)", help: "How long a call may take: 150000 at most.", kind: Kind::Number },
    Setting { column: "backoff_base_ms", label: "First backoff (ms)", help: "Upper bound of the wait before the first retry. It doubles with each attempt.", kind: Kind::Number },
    Setting { column: "backoff_max_ms", label: "Longest backoff (ms)", help: "The most that this bound grows to.", kind: Kind::Number },
    Setting { column: "final_statuses", label: "Final statuses", help: "HTTP statuses after which a job is failed without a retry: 400, 422.", kind: Kind::Numbers },
    Setting { column: "keep_successful_for", label: "Keep successful jobs for", help: "Such as 7 days; empty: for ever.", kind: Kind::Interval },
    Setting { column: "keep_failed_for", label: "Keep failed jobs for", help: "Such as 30 days; empty: for ever.", kind: Kind::Interval },
    Setting { column: "key_held", label: "A job holds its key", help: "Until its first attempt starts, until it has ended, or also after its success.", kind: Kind::OneOf(&["pending", "unfinished", "successful"]) },
    Setting { column: "key_held_for", label: "Hold the key after success for", help: "Only with successful; empty: as long as the job is kept.", kind: Kind::Interval },
    Setting { column: "postpone_at_most", label: "Postpone at most for", help: "Counted from the first request; empty: for ever.", kind: Kind::Interval },
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
}

#[derive(Deserialize)]
struct Status {
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
  'status', (
    select to_jsonb(s)
    from (select q.name, q.is_paused, q.workers, q.busy_workers, q.pending, q.waiting, q.in_progress from supaqueue.queue_status q where q.name = $1) s
  ),
  'settings', to_jsonb(q)
)
from supaqueue.queue q
where q.name = $1";

async fn load(context: &Context, name: &str) -> Result<Queue, Error> {
    let queue: Option<Queue> = context
        .database()
        .read(
            &format!("select coalesce(({QUERY}), 'null')"),
            &[Some(name)],
        )
        .await?;
    queue.ok_or_else(|| Error::NotFound(format!("There is no queue named {name}.")))
}

pub(crate) async fn show(context: Arc<Context>) -> Result<Page, Error> {
    let Queue { status, .. } = load(&context, context.parameter("name")).await?;
    let fields = Fields::of([("queue", &status.name)]);
    let body = html! {
        h1 { (text::inline(&status.name)) @if status.is_paused { " " span.tag { "‖ paused" } } }
        dl.facts {
            div { dt { "Workers" } dd { (status.busy_workers) " of " (status.workers) " busy" } }
            div { dt { "Pending" } dd { (text::bounded(status.pending, 100_001)) } }
            div { dt { "Waiting" } dd { (text::bounded(status.waiting, 100_001)) } }
            div { dt { "In progress" } dd { (text::number(status.in_progress)) } }
        }
        div.buttons {
            @if status.is_paused {
                (action::button(&context, "resume-queue", &fields, "Resume", Look { is_primary: true, ..Look::default() }))
            } @else {
                (action::button(&context, "pause-queue", &fields, "Pause", Look::default()))
            }
            a.button href=(format!("{}/settings", path(&status.name))) { "Settings" }
        }
    };
    Ok(Page::new(Section::Overview, format!("Queue {}", status.name), body))
}

pub(crate) async fn settings(context: Arc<Context>) -> Result<Page, Error> {
    let queue = load(&context, context.parameter("name")).await?;
    let name = &queue.status.name;
    let body = form(&context, name, &context.query, &queue.settings);
    Ok(Page::new(Section::Overview, format!("Settings of {name}"), html! {
        h1 { "Settings of " (text::inline(name)) }
        (body)
    }))
}

/// The form again, with what was entered, and why the database refused it.
pub(crate) async fn refused(
    context: &Context,
    fields: &Fields,
    refusal: &Refusal,
) -> Result<Page, Error> {
    let queue = load(context, fields.required("queue")?).await?;
    let name = &queue.status.name;
    let body = html! {
        h1 { "Settings of " (text::inline(name)) }
        section.problem role="alert" { h2 { "The database refused this" } (refusal.show()) }
        (form(context, name, fields, &queue.settings))
    };
    Ok(Page {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        ..Page::new(Section::Overview, format!("Settings of {name}"), body)
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
                    label for=(setting.column) { (setting.label) }
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
