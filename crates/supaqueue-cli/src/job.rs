//! `supaqueue job`: why a job is where it is, and all that is known of it.

use std::process::ExitCode;

use anyhow::{Context, Result};
use console::{Style, Term};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::command;
use crate::output::{count, outln};
use crate::project::{Project, ProjectOptions, literal};
use crate::text::{
    Rows, cut, duration, moment_and_age, number, printable, printable_lines, width, wrap,
};
use crate::user_error::user_error;

/// How much of a payload, a result and a failure's body is shown, in characters.
const EXCERPT: usize = 1000;

/// How many sources and targets are listed.
const NEIGHBOURS: usize = 20;

/// Explains in one sentence where a job is, then shows its attempts, headers and payload, and the jobs before
/// and after it.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The job's id
    #[arg(value_parser = id)]
    id: String,
    #[command(flatten)]
    project: ProjectOptions,
    /// Print the whole payload as JSON, as the function gets it, and nothing else
    #[arg(long, conflicts_with = "json")]
    payload: bool,
    /// Print everything as one JSON document
    #[arg(long)]
    json: bool,
}

/// Reads a job's id as Postgres writes it.
pub(crate) fn id(text: &str) -> Result<String, &'static str> {
    let text = text.trim().to_ascii_lowercase();
    let is_id = text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    is_id.then_some(text).ok_or("not the id of a job, a UUID")
}

/// What the database knows.
#[derive(Debug, Deserialize)]
struct Shown {
    explain: String,
    /// Every column, and the beginnings of `payload` and `result`.
    job: Map<String, Value>,
    queue: Option<String>,
    #[serde(default)]
    attempts: Vec<Map<String, Value>>,
    call: Option<Map<String, Value>>,
    #[serde(default)]
    sources: Vec<Neighbour>,
    #[serde(default)]
    targets: Vec<Neighbour>,
    schedule: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Neighbour {
    id: String,
    status: Option<String>,
    queue: Option<String>,
}

/// Runs the command until it ends or is interrupted.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    command::run("job", show(&arguments)).await
}

/// The error for a job that does not exist.
pub(crate) fn no_job(project: &Project, id: &str) -> anyhow::Error {
    user_error(
        format!("{} has no job {id}", project.name()),
        "It was never committed, it was deleted, as finished jobs are after a while, or it is in another project.",
    )
}

async fn show(arguments: &Arguments) -> Result<ExitCode> {
    let project = arguments.project.pick().await?;
    let (id, uuid) = (&arguments.id, literal(Some(&arguments.id)));
    if arguments.payload {
        // As text within the document: a JSON parser on the way could change digits of numbers.
        let sql = format!(
            "select to_jsonb((select j.payload::text from supaqueue.job j where j.id = {uuid})) as result"
        );
        let payload: Option<String> = project.read(&sql).await?;
        outln!("{}", payload.ok_or_else(|| no_job(&project, id))?);
        return Ok(ExitCode::SUCCESS);
    }
    let sql = format!(
        "select jsonb_build_object('at', clock_timestamp(), 'shown', supaqueue.show_job({uuid})) as result"
    );
    let mut answer: Value = project.read(&sql).await?;
    let shown = answer.get_mut("shown").map(Value::take).unwrap_or_default();
    if shown.is_null() {
        return Err(no_job(&project, id));
    }
    if arguments.json {
        outln!("{}", serde_json::to_string_pretty(&shown)?);
        return Ok(ExitCode::SUCCESS);
    }
    let now = answer
        .get("at")
        .and_then(time)
        .unwrap_or_else(Timestamp::now);
    let shown = Shown::deserialize(shown).context("unexpected answer of the database")?;
    outln!("{}", text(&shown, now, width(&Term::stdout())));
    Ok(ExitCode::SUCCESS)
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

fn text(shown: &Shown, now: Timestamp, width: Option<usize>) -> String {
    let job = &shown.job;
    let string = |name: &str| job.get(name).and_then(Value::as_str).map(printable);
    let integer = |name: &str| job.get(name).and_then(Value::as_i64);
    let at = |name: &str| job.get(name).and_then(time);
    let bold = Style::new().bold();
    let mut rows = Rows {
        lines: Vec::new(),
        width,
    };
    let explain = wrap(&printable(&shown.explain), width, 0);
    rows.add(&bold.apply_to(explain).to_string());
    rows.add("");
    rows.row("job", &string("id").unwrap_or_default());
    rows.row(
        "queue",
        &printable(shown.queue.as_deref().unwrap_or("none")),
    );
    let status = string("status").unwrap_or_default();
    let http = integer("http_status").map(|status| format!(", HTTP status {status}"));
    let took = integer("duration_ms").map(|ms| format!(", last call {}", duration(ms as f64)));
    let attempts = integer("attempts").map(|attempts| match integer("max_attempts") {
        Some(most) => format!(", {attempts} of {most} attempts"),
        None => format!(
            ", {}",
            count(usize::try_from(attempts).unwrap_or(0), "attempt")
        ),
    });
    let parts = [Some(status), attempts, http, took];
    rows.row("status", &parts.into_iter().flatten().collect::<String>());
    for name in ["tenant", "key", "path"] {
        if let Some(value) = string(name) {
            rows.row(name, &cut(&value, EXCERPT));
        }
    }
    if let Some(priority) = integer("priority").filter(|priority| *priority != 0) {
        rows.row("priority", &priority.to_string());
    }
    if let Some(schedule) = &shown.schedule {
        rows.row("schedule", &printable(schedule));
    }
    for (label, name) in [
        ("created", "created_at"),
        ("due", "run_at"),
        ("started", "started_at"),
        ("finished", "finished_at"),
    ] {
        // A job that was due when it was created, or has ended, has nothing to say about that.
        let is_said =
            name != "run_at" || at("finished_at").is_none() && at("run_at") > at("created_at");
        if let Some(time) = at(name).filter(|_| is_said) {
            rows.row(label, &moment_and_age(time, now));
        }
    }
    if let Some(call) = &shown.call {
        let parts = call.iter().filter(|(_, value)| !value.is_null());
        let parts: Vec<_> = parts
            .map(|(name, value)| format!("{name} {}", plain(value)))
            .collect();
        rows.row("call", &parts.join(", "));
    }
    for attempt in &shown.attempts {
        add_attempt(&mut rows, attempt, now);
    }
    if let Some(Value::Object(headers)) = job.get("headers") {
        for (place, (name, value)) in headers.iter().enumerate() {
            let label = if place == 0 { "headers" } else { "" };
            rows.row(
                label,
                &format!("{}: {}", printable(name), cut(&plain(value), 200)),
            );
        }
    }
    for (label, neighbours) in [("sources", &shown.sources), ("targets", &shown.targets)] {
        for (place, neighbour) in neighbours.iter().take(NEIGHBOURS).enumerate() {
            let queue = neighbour.queue.as_deref().unwrap_or("?");
            let status = neighbour.status.as_deref().unwrap_or("?");
            let label = if place == 0 { label } else { "" };
            rows.row(
                label,
                &format!(
                    "{} {}, queue {}",
                    neighbour.id,
                    printable(status),
                    printable(queue)
                ),
            );
        }
        if let Some(more) = neighbours
            .len()
            .checked_sub(NEIGHBOURS)
            .filter(|more| *more > 0)
        {
            rows.row("", &format!("and {more} more"));
        }
    }
    for name in ["payload", "result"] {
        add_json(&mut rows, job, name);
    }
    rows.lines.join("\n")
}

/// A value on one line; a string without quotes.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text),
        other => printable(&other.to_string()),
    }
}

/// A failed attempt, or the last one.
fn add_attempt(rows: &mut Rows, attempt: &Map<String, Value>, now: Timestamp) {
    let text = |name: &str| attempt.get(name).and_then(Value::as_str);
    let integer = |name: &str| attempt.get(name).and_then(Value::as_i64);
    let took = integer("duration_ms").map(|ms| format!(" after {}", duration(ms as f64)));
    let took = took.unwrap_or_default();
    let message = text("message").unwrap_or("");
    // Most messages name it.
    let status = integer("status").map(|status| status.to_string());
    let status = status.filter(|status| !message.contains(status.as_str()));
    let status = status.map_or_else(String::new, |status| format!(", status {status}"));
    let ended = attempt.get("at").and_then(time);
    let started = attempt.get("started_at").and_then(time);
    let said = match (
        ended.or(started).map(|at| moment_and_age(at, now)),
        ended,
        text("message"),
    ) {
        (at, _, Some(message)) => {
            let message = cut(&printable(message), EXCERPT);
            let message = Style::new().red().apply_to(message);
            format!("failed {}{took}{status}: {message}", at.unwrap_or_default())
        }
        (Some(at), Some(_), None) => format!("successful {at}{took}{status}"),
        (Some(at), None, None) => format!("in progress since {at}"),
        (None, ..) => "in progress".to_owned(),
    };
    let number = integer("attempt").map_or_else(|| "?".into(), |number| number.to_string());
    rows.row(&format!("attempt {number}"), &said);
    let body = cut(text("body").unwrap_or(""), EXCERPT);
    for line in printable_lines(&body).lines() {
        rows.row("", line);
    }
}

/// The beginning of the payload or the result.
fn add_json(rows: &mut Rows, job: &Map<String, Value>, name: &str) {
    let Some(text) = job.get(&format!("{name}_text")).and_then(Value::as_str) else {
        return;
    };
    let bytes = job.get(&format!("{name}_bytes")).and_then(Value::as_i64);
    let shown = cut(text, EXCERPT);
    let is_whole = shown == text && bytes.is_none_or(|bytes| bytes <= text.len() as i64);
    let more = match (name, is_whole) {
        (_, true) => "",
        ("payload", false) => "; --payload prints all of it",
        _ => "; the beginning",
    };
    let size = bytes.map_or_else(String::new, |bytes| format!("{} bytes", number(bytes)));
    rows.row(name, &format!("{size}{more}"));
    let shown = wrap(&printable(&shown), rows.width, 2);
    rows.add(&format!("  {shown}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_uuid() {
        let plain = "01a2293f-9aee-76ab-8f8e-145a90998167";
        assert_eq!(id(plain).as_deref(), Ok(plain));
        assert_eq!(id(&plain.to_uppercase()).as_deref(), Ok(plain));
        for wrong in [
            "",
            "1",
            "01a2293f-9aee-76ab-8f8e-145a9099816",
            "01a2293f-9aee-76ab-8f8e-145a9099816x",
            "01a2293f-9aee-76ab-8f8e_145a90998167",
        ] {
            assert!(id(wrong).is_err(), "{wrong}");
        }
    }
}
