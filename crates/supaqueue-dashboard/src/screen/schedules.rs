//! Schedules: the list, and each with its next times and its jobs.

use std::sync::Arc;

use maud::{Markup, html};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{job, part, queue};
use crate::action::{self, Look};
use crate::context::{Context, Page, Section};
use crate::error::Error;
use crate::fields::Fields;
use crate::{text, time};

/// The address of a schedule.
pub(crate) fn path(name: &str) -> String {
    format!("/schedules/{}", part(name))
}

/// Schedules that are shown, at most; also in the query.
const SCHEDULES: usize = 500;

/// Characters of a payload that are shown.
const PAYLOAD: usize = 2000;

#[derive(Deserialize)]
struct Listed {
    id: String,
    name: String,
    queue: String,
    cron: Option<String>,
    every: Option<String>,
    timezone: String,
    is_paused: bool,
    next_at: Option<String>,
    last_at: Option<String>,
    last_job: Option<String>,
    last_status: Option<String>,
    missed_count: i64,
    skipped_count: i64,
    explain: String,
}

pub(crate) async fn list(context: Arc<Context>) -> Result<Page, Error> {
    let schedules: Vec<Listed> = context
        .database()
        .read(include_str!("schedules.sql"), &[])
        .await?;
    let body = html! {
        h1 { "Schedules" }
        @if schedules.is_empty() {
            p.empty { "There are no schedules yet. " code { "select supaqueue.schedule('nightly', 'report', '0 3 * * *');" } " makes one." }
        } @else {
            div.table {
                table {
                    caption.hidden { "The schedules, with their next and last jobs" }
                    thead { tr {
                        th scope="col" { "Schedule" }
                        th scope="col" { "When" }
                        th scope="col" { "Next" }
                        th scope="col" { "Last job" }
                        th.number scope="col" { "Missed" }
                        th.number scope="col" { "Skipped" }
                    } }
                    tbody { @for schedule in &schedules { (row(schedule)) } }
                }
            }
            @if schedules.len() == SCHEDULES { p.muted { "These are the first " (SCHEDULES) " schedules by name." } }
        }
    };
    Ok(Page::new(Section::Schedules, "Schedules", body))
}

fn row(schedule: &Listed) -> Markup {
    html! {
        tr id=(schedule.id) {
            th scope="row" {
                a data-row href=(path(&schedule.name)) { (text::short(&schedule.name, 80)) }
                @if schedule.is_paused { " " (queue::Paused) }
                br;
                small.muted { "to " a href=(queue::path(&schedule.queue)) { (text::short(&schedule.queue, 80)) } }
            }
            td { (when(schedule.cron.as_deref(), schedule.every.as_deref(), &schedule.timezone)) }
            td {
                @if let Some(at) = &schedule.next_at { (time::relative(at)) br; }
                small.muted { (text::short(&schedule.explain, 200)) }
            }
            td {
                @match (&schedule.last_job, &schedule.last_at) {
                    (Some(id), at) => {
                        a href=(job::path(id)) { (schedule.last_status.as_deref().unwrap_or("deleted")) }
                        @if let Some(at) = at { br; small.muted { (time::relative(at)) } }
                    }
                    (None, _) => span.muted { "none yet" },
                }
            }
            td.number { (text::number(schedule.missed_count)) }
            td.number { (text::number(schedule.skipped_count)) }
        }
    }
}

fn when(cron: Option<&str>, every: Option<&str>, timezone: &str) -> Markup {
    html! {
        @match (cron, every) {
            (Some(cron), _) => { code { (text::short(cron, 100)) } br; small.muted { (text::short(timezone, 60)) } }
            (None, Some(every)) => { "every " (time::interval(every)) }
            (None, None) => "never",
        }
    }
}

#[derive(Deserialize)]
struct Schedule {
    queue: String,
    schedule: Map<String, Value>,
    payload: String,
    explain: String,
    next: Vec<Next>,
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Next {
    at: String,
    /// In the schedule's time zone.
    local: String,
}

#[derive(Deserialize)]
struct Job {
    id: String,
    status: String,
    run_at: String,
    finished_at: Option<String>,
    duration_ms: Option<f64>,
}

/// Columns and what they are called here.
const SETTINGS: [(&str, &str); 11] = [
    ("missed", "Missed times"),
    ("catch_up_within", "Catch up within"),
    ("overlap", "Overlap"),
    ("spread", "Spread"),
    ("pause_after_failures", "Pause after failures"),
    ("priority", "Priority"),
    ("path", "Path"),
    ("timeout_ms", "Timeout (ms)"),
    ("max_attempts", "Attempts"),
    ("tenant", "Tenant"),
    ("key", "Key"),
];

pub(crate) async fn show(context: Arc<Context>) -> Result<Page, Error> {
    let name = context.parameter("name");
    let found: Option<Schedule> = context
        .database()
        .read(include_str!("schedule.sql"), &[Some(name)])
        .await?;
    let schedule =
        found.ok_or_else(|| Error::NotFound(format!("There is no schedule named {name}.")))?;
    let column = |name: &str| match schedule.schedule.get(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(other) => Some(other.to_string()),
    };
    let timezone = column("timezone").unwrap_or_default();
    let is_paused = schedule.schedule.get("is_paused") == Some(&Value::Bool(true));
    let fields = Fields::of([("schedule", name)]);
    let body = html! {
        p.crumbs { a href="/schedules" { "Schedules" } " / Schedule" }
        div.head {
            h1 { (text::inline(name)) @if is_paused { " " (queue::Paused) } }
            div.buttons {
                (action::button(&context, "run-schedule", &fields, "Run now", Look::default()))
                @if is_paused {
                    (action::button(&context, "resume-schedule", &fields, "Resume", Look { is_primary: true, ..Look::default() }))
                } @else {
                    (action::button(&context, "pause-schedule", &fields, "Pause", Look::default()))
                }
                (action::button(&context, "unschedule", &fields, "Delete", Look::default()))
            }
        }
        p { (text::inline(&schedule.explain)) }
        dl.facts {
            div { dt { "Queue" } dd { a href=(queue::path(&schedule.queue)) { (text::short(&schedule.queue, 80)) } } }
            div { dt { "When" } dd { (when(column("cron").as_deref(), column("every").as_deref(), &timezone)) } }
            div { dt { "Missed" } dd { (column("missed_count").unwrap_or_default()) } }
            div { dt { "Skipped" } dd { (column("skipped_count").unwrap_or_default()) } }
        }
        section aria-labelledby="next" {
            h2 #next { "Next times" }
            @if schedule.next.is_empty() {
                p.muted { "None." }
            } @else {
                ul.times {
                    @for next in &schedule.next {
                        li { (next.local) " " (timezone) " " span.muted { "(" (time::relative(&next.at)) ")" } }
                    }
                }
                @if is_paused { p.muted { "Paused: it inserts no jobs at these times." } }
                @if let Some(spread) = column("spread").filter(|spread| spread != "00:00:00" && column("cron").is_some()) {
                    p.muted { "Its jobs come up to " (time::interval(&spread)) " later." }
                }
            }
        }
        section aria-labelledby="jobs" {
            h2 #jobs { "Last jobs" }
            (jobs(&schedule.jobs))
        }
        section aria-labelledby="what" {
            h2 #what { "Settings of its jobs" }
            dl.facts {
                @for (name, label) in SETTINGS {
                    @if let Some(value) = column(name).filter(|value| value != "00:00:00") { div { dt { (label) } dd { (text::short(&value, 200)) } } }
                }
            }
            h3 { "Payload" }
            pre tabindex="0" { (text::block(&text::cut(&schedule.payload, PAYLOAD))) }
        }
    };
    Ok(Page::new(
        Section::Schedules,
        format!("Schedule {name}"),
        body,
    ))
}

fn jobs(jobs: &[Job]) -> Markup {
    html! {
        @if jobs.is_empty() {
            p.empty { "It has inserted no job yet, or they were deleted." }
        } @else {
            div.table {
                table {
                    caption.hidden { "The last jobs of the schedule" }
                    thead { tr { th scope="col" { "Due" } th scope="col" { "Status" } th scope="col" { "Ended" } th.number scope="col" { "Call took" } } }
                    tbody {
                        @for one in jobs { tr id=(one.id) {
                            th scope="row" { a data-row href=(job::path(&one.id)) { (time::exact(&one.run_at)) } }
                            td { (text::status(&one.status)) }
                            td { @if let Some(at) = &one.finished_at { (time::relative(at)) } }
                            td.number { @if let Some(ms) = one.duration_ms { (time::duration(ms)) } }
                        } }
                    }
                }
            }
        }
    }
}
