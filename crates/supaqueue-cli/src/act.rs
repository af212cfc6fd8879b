//! `supaqueue retry` and `supaqueue cancel`: on single jobs at once, or on all that match a filter, as an
//! operation that the database carries out.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::command;
use crate::job::id;
use crate::live::{Source, brief};
use crate::output::{errln, outln};
use crate::project::{Project, ProjectOptions, literal};
use crate::prompt::Confirmation;
use crate::signal::stop_requested;
use crate::status::no_queue;
use crate::text::printable;
use crate::user_error;

/// Runs ended jobs again: single ones at once, or all that match a filter.
///
/// A job that is retried gets all its attempts back. With options instead of ids, the jobs are counted, you
/// are asked, and the database goes through them in pieces; Ctrl-C does not stop that.
///
/// The exit status is 1 if a job was left as it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Retry {
    #[command(flatten)]
    jobs: Jobs,
}

/// Cancels jobs that have not ended: single ones at once, or all that match a filter.
///
/// A call in flight is aborted at the next pulse of its run. With options instead of ids, the jobs are
/// counted, you are asked, and the database goes through them in pieces; Ctrl-C does not stop that.
///
/// The exit status is 1 if a job was left as it is.
#[derive(Debug, clap::Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    jobs: Jobs,
}

#[derive(Debug, clap::Args)]
struct Jobs {
    /// The ids of the jobs
    #[arg(value_name = "ID", value_parser = id, required_unless_present_any = FILTER, conflicts_with_all = FILTER)]
    ids: Vec<String>,
    #[command(flatten)]
    filter: Filter,
    /// Of a filter: how many jobs per second at most
    #[arg(long, value_name = "N", conflicts_with = "ids", value_parser = clap::value_parser!(i32).range(1..))]
    per_second: Option<i32>,
    #[command(flatten)]
    confirmation: Confirmation,
    #[command(flatten)]
    project: ProjectOptions,
}

/// The names of the options of [`Filter`].
const FILTER: [&str; 11] = [
    "queue",
    "status",
    "error_group",
    "http_status",
    "key",
    "tenant",
    "payload",
    "created_after",
    "created_before",
    "finished_after",
    "finished_before",
];

/// What jobs must have in common. Several values of one option are alternatives.
#[derive(Debug, Default, clap::Args)]
struct Filter {
    /// Of this queue; may be repeated, like the next five
    #[arg(long, value_name = "NAME")]
    queue: Vec<String>,
    /// With this status [default: failed to retry; pending, waiting and in_progress to cancel]
    #[arg(long, value_name = "STATUS")]
    status: Vec<String>,
    /// Of this error group, as `supaqueue status QUEUE` and the view failure show it
    #[arg(long, value_name = "GROUP")]
    error_group: Vec<String>,
    /// Whose last call was answered with this HTTP status
    #[arg(long, value_name = "N")]
    http_status: Vec<u16>,
    /// With this key
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
    /// For this tenant
    #[arg(long, value_name = "TENANT")]
    tenant: Vec<String>,
    /// Whose payload contains this JSON
    #[arg(long, value_name = "JSON", value_parser = json_text)]
    payload: Option<String>,
    /// Created at this time or later: 2026-11-30T12:00Z, 2026-11-30 (UTC), or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = time)]
    created_after: Option<Timestamp>,
    /// Created before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    created_before: Option<Timestamp>,
    /// Ended at this time or later
    #[arg(long, value_name = "TIME", value_parser = time)]
    finished_after: Option<Timestamp>,
    /// Ended before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    finished_before: Option<Timestamp>,
}

/// JSON as it was written: reading a number could change its digits.
fn json_text(text: &str) -> Result<String, String> {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Ok(text.trim().to_owned()),
        Err(error) => Err(format!("not JSON: {error}")),
    }
}

/// Reads a time: with a zone, in UTC, or so long ago.
fn time(text: &str) -> Result<Timestamp, String> {
    time_before(text, Timestamp::now())
        .ok_or_else(|| "not a time like 2026-11-30T12:00Z, 2026-11-30 or 2h".to_owned())
}

fn time_before(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    if let Ok(time) = text.parse::<DateTime>() {
        return Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp());
    }
    let span: Span = text.parse().ok()?;
    let before = now.to_zoned(TimeZone::UTC).checked_sub(span.abs()).ok()?;
    Some(before.timestamp())
}

impl Filter {
    /// The filter as JSON, as `supaqueue.operation` has it.
    fn json(&self, action: Action) -> String {
        let mut filter = Map::new();
        let mut add = |name: &str, values: Vec<Value>| match <[Value; 1]>::try_from(values) {
            Ok([value]) => drop(filter.insert(name.into(), value)),
            Err(values) if !values.is_empty() => drop(filter.insert(name.into(), values.into())),
            Err(_) => {}
        };
        let texts = |values: &[String]| values.iter().map(|value| json!(value)).collect();
        add("queue", texts(&self.queue));
        match self.status.is_empty() {
            true => add(
                "status",
                action
                    .statuses()
                    .iter()
                    .map(|status| json!(status))
                    .collect(),
            ),
            false => add("status", texts(&self.status)),
        }
        add("key", texts(&self.key));
        add("tenant", texts(&self.tenant));
        add("error_group", texts(&self.error_group));
        add(
            "http_status",
            self.http_status
                .iter()
                .map(|status| json!(status))
                .collect(),
        );
        for (name, time) in [
            ("created_after", self.created_after),
            ("created_before", self.created_before),
            ("finished_after", self.finished_after),
            ("finished_before", self.finished_before),
        ] {
            add(
                name,
                time.iter().map(|time| json!(time.to_string())).collect(),
            );
        }
        let mut text = Value::from(filter).to_string();
        if let Some(payload) = &self.payload {
            // After the status, which is always there.
            text.insert_str(text.len() - 1, &format!(",\"payload\":{payload}"));
        }
        text
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Retry,
    Cancel,
}

impl Action {
    const fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Cancel => "cancel",
        }
    }

    /// As the beginning of a sentence.
    const fn verb(self) -> &'static str {
        match self {
            Self::Retry => "Retry",
            Self::Cancel => "Cancel",
        }
    }

    /// The status that it gives.
    const fn status(self) -> &'static str {
        match self {
            Self::Retry => "pending",
            Self::Cancel => "cancelled",
        }
    }

    /// The statuses that a filter without one means.
    const fn statuses(self) -> &'static [&'static str] {
        match self {
            Self::Retry => &["failed"],
            Self::Cancel => &["pending", "waiting", "in_progress"],
        }
    }

    /// The statuses that a single job may have.
    const fn from(self) -> &'static str {
        match self {
            Self::Retry => "'successful', 'failed', 'cancelled'",
            Self::Cancel => "'pending', 'waiting', 'in_progress'",
        }
    }
}

/// Runs the command until it ends or is interrupted.
pub(crate) async fn retry(Retry { jobs }: Retry) -> ExitCode {
    run(Action::Retry, &jobs).await
}

/// Runs the command until it ends or is interrupted.
pub(crate) async fn cancel(Cancel { jobs }: Cancel) -> ExitCode {
    run(Action::Cancel, &jobs).await
}

async fn run(action: Action, jobs: &Jobs) -> ExitCode {
    if !jobs.ids.is_empty() {
        return command::run(action.name(), at_once(action, jobs)).await;
    }
    let mut started = None;
    let status = command::run(action.name(), async {
        match start(action, jobs).await? {
            Ok(operation) => {
                started = Some(operation);
                Ok(ExitCode::SUCCESS)
            }
            Err(status) => Ok(status),
        }
    })
    .await;
    let Some((project, id, matching)) = started else {
        return status;
    };
    let stop = format!("update supaqueue.operation set status = 'stopped' where id = '{id}';");
    tokio::select! {
        result = follow(project, &id, matching) => match result {
            Ok(status) => status,
            Err(error) => {
                user_error::print(&format!("supaqueue {}", action.name()), &error);
                ExitCode::FAILURE
            }
        },
        status = stop_requested() => {
            errln!("The operation goes on without this command. To stop it, run: {stop}");
            ExitCode::from(status)
        }
    }
}

/// A job before and after.
#[derive(Debug, Deserialize)]
struct Changed {
    id: String,
    before: Option<String>,
    after: Option<String>,
    explain: Option<String>,
}

async fn at_once(action: Action, jobs: &Jobs) -> Result<ExitCode> {
    let project = jobs.project.pick().await?;
    let ids = literal(Some(format!("{{{}}}", jobs.ids.join(","))));
    let status = action.status();
    // What was true before comes from a statement before.
    let sql = format!(
        "select set_config('supaqueue.before', coalesce((select jsonb_object_agg(j.id, j.status) from supaqueue.job j where j.id = any ({ids})), '{{}}')::text, true);
         update supaqueue.job set status = '{status}' where id = any ({ids}) and status in ({});
         select coalesce(jsonb_agg(jsonb_build_object(
           'id', i.id, 'before', current_setting('supaqueue.before')::jsonb ->> i.id::text, 'after', j.status,
           'explain', case when j.status is distinct from '{status}' then supaqueue.explain(i.id) end) order by i.place), '[]') as result
         from unnest({ids}::uuid[]) with ordinality as i (id, place)
         left join supaqueue.job j on j.id = i.id",
        action.from()
    );
    let changed: Vec<Changed> = project.write(&sql).await?;
    errln!("{}", project.name());
    let mut is_refused = false;
    for job in changed {
        let explain = printable(job.explain.as_deref().unwrap_or_default());
        let said = match (job.before.as_deref(), job.after.as_deref()) {
            (None, _) | (_, None) => explain,
            (Some(before), Some(after)) if after == status && before != status => {
                outln!("{}: {after} (was {before})", job.id);
                continue;
            }
            (Some(before), Some(after)) if before == after && after == status => {
                outln!("{}: {after} already", job.id);
                continue;
            }
            (_, Some(after)) => format!("left {after}. {explain}"),
        };
        is_refused = true;
        outln!("{}: {said}", job.id);
    }
    Ok(ExitCode::from(u8::from(is_refused)))
}

/// How many jobs an operation would act on.
#[derive(Debug, Deserialize)]
struct Preview {
    matching: u64,
    is_exact: bool,
}

/// Starts an operation after a confirmation. Returns it, or the exit status if nothing was started.
async fn start(action: Action, jobs: &Jobs) -> Result<Result<(Project, String, u64), ExitCode>> {
    let project = jobs.project.pick().await?;
    let filter = jobs.filter.json(action);
    for queue in &jobs.filter.queue {
        let name = literal(Some(queue));
        let sql = format!(
            "select to_jsonb(exists (select from supaqueue.queue q where q.name = {name})) as result"
        );
        if !project.read::<bool>(&sql).await? {
            return no_queue(action.name(), &project, queue).await.map(Err);
        }
    }
    let text = literal(Some(&filter));
    let name = action.name();
    let preview: Preview = project
        .read(&format!(
            "select to_jsonb(p) as result from supaqueue.preview('{name}', {text}) p"
        ))
        .await?;
    let jobs_word = if preview.matching == 1 { "job" } else { "jobs" };
    let count = match preview.is_exact {
        true => format!("{} {jobs_word}", preview.matching),
        false => format!("more than {} {jobs_word}", preview.matching),
    };
    let per_second = jobs
        .per_second
        .map_or_else(|| "null".into(), |number| number.to_string());
    let insert = format!(
        "insert into supaqueue.operation (action, filter, per_second) values ('{name}', {text}, {per_second})"
    );
    errln!("Project: {}", project.name());
    errln!("Filter:  {}", printable(&filter));
    errln!("Jobs:    {count}");
    errln!("SQL:     {};", printable(&insert));
    if preview.matching == 0 {
        outln!("No job matches; nothing was changed.");
        return Ok(Err(ExitCode::SUCCESS));
    }
    let question = format!("{} {count} in {}?", action.verb(), project.name());
    jobs.confirmation.ask_with(&question, "").await?;
    let id: String = project
        .write(&format!("{insert} returning to_jsonb(id) as result"))
        .await?;
    Ok(Ok((project, id, preview.matching)))
}

/// A row of `supaqueue.operation`.
#[derive(Debug, Deserialize)]
struct Operation {
    status: String,
    done: Option<u64>,
    refused: Option<u64>,
    last_refusal: Option<String>,
}

/// How long an operation may stand still until that is mentioned.
const STANDSTILL: Duration = Duration::from_secs(30);

/// Shows the progress of an operation until it has ended.
async fn follow(project: Project, id: &str, matching: u64) -> Result<ExitCode> {
    let every = Duration::from_millis(if project.is_slow() { 5000 } else { 500 });
    let status_command = project.command("status");
    let mut source = Source::new(project);
    let bar = ProgressBar::new(matching);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {pos} of {len} {msg}") {
        bar.set_style(style);
    }
    let id = literal(Some(id));
    let sql = format!("select to_jsonb(o) as result from supaqueue.operation o where o.id = {id}");
    let mut progress = (0, Instant::now());
    loop {
        let asked =
            source.ask(async |project: &Project| project.read::<Option<Operation>>(&sql).await);
        match asked.await {
            Err(error) => bar.set_message(format!("({}; trying again)", brief(&error))),
            Ok(operation) => {
                let operation = operation.context("somebody has deleted the operation")?;
                let (done, refused) = (operation.done.unwrap_or(0), operation.refused.unwrap_or(0));
                if operation.status != "running" {
                    bar.finish_and_clear();
                    return Ok(ended(&operation));
                }
                let passed = done + refused;
                if passed != progress.0 {
                    progress = (passed, Instant::now());
                }
                bar.set_length(matching.max(passed));
                bar.set_position(passed);
                bar.set_message(match progress.1.elapsed() {
                    still if still > STANDSTILL => format!(
                        "(no progress for {} s: see {status_command})",
                        still.as_secs()
                    ),
                    _ => String::new(),
                });
            }
        }
        tokio::time::sleep(every).await;
    }
}

/// Says how an operation has ended.
fn ended(operation: &Operation) -> ExitCode {
    let (done, refused) = (operation.done.unwrap_or(0), operation.refused.unwrap_or(0));
    let stopped = match operation.status.as_str() {
        "stopped" => "Stopped: ",
        _ => "",
    };
    outln!("{stopped}done: {done}, left as they are: {refused}");
    if let Some(reason) = operation.last_refusal.as_deref().filter(|_| refused > 0) {
        outln!("  the last one: {}", printable(reason));
    }
    ExitCode::from(u8::from(refused > 0 || !stopped.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_zone_or_are_in_utc_or_so_long_ago() {
        let now = "2026-11-30T12:00:00Z".parse().unwrap();
        for (text, want) in [
            ("2026-11-29T01:02:03+02:00", Some("2026-11-28T23:02:03Z")),
            ("2026-11-29T01:02", Some("2026-11-29T01:02:00Z")),
            ("2026-11-29", Some("2026-11-29T00:00:00Z")),
            ("2h", Some("2026-11-30T10:00:00Z")),
            ("90 minutes", Some("2026-11-30T10:30:00Z")),
            ("1d", Some("2026-11-29T12:00:00Z")),
            ("2 days ago", Some("2026-11-28T12:00:00Z")),
            ("yesterday", None),
            ("", None),
            ("12", None),
        ] {
            let time = time_before(text, now).map(|time| time.to_string());
            assert_eq!(time.as_deref(), want, "{text}");
        }
    }

    #[test]
    fn a_filter_names_what_was_given_and_a_status() {
        let filter = Filter {
            queue: vec!["a".into()],
            tenant: vec!["t".into(), "u".into()],
            http_status: vec![500, 503],
            payload: Some("{\"x\": 1.10}".into()),
            finished_after: Some("2026-11-30T00:00:00Z".parse().unwrap()),
            ..Filter::default()
        };
        assert_eq!(
            filter.json(Action::Retry),
            r#"{"finished_after":"2026-11-30T00:00:00Z","http_status":[500,503],"queue":"a","status":"failed","tenant":["t","u"],"payload":{"x": 1.10}}"#
        );
        assert_eq!(
            Filter::default().json(Action::Cancel),
            r#"{"status":["pending","waiting","in_progress"]}"#
        );
    }
}
