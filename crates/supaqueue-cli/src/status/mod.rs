//! `supaqueue status`: the problems, then the queues.

mod table;
mod view;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::command;
use crate::live::{Screen, Source, brief, patiently, write_now};
use crate::output::{errln, outln};
use crate::project::{Project, ProjectOptions, literal};
use crate::signal::stop_requested;
use crate::text::{moment, printable, width};
use crate::user_error::{self, user_error};

/// The exit status for a queue that does not exist, as for other wrong arguments.
const WRONG_ARGUMENT: u8 = 2;

/// How often --watch groups the failures of a queue: many failures take a while to count.
const GROUP_EVERY: Duration = Duration::from_secs(30);

/// Where they are in the document.
const FAILURES: &str = "/queues/0/detail/failures";

/// Shows the problems of a project, each with its remedy, and then its queues: workers, jobs, and the last hour.
///
/// Changes nothing. The exit status is 1 if there is a problem, else 0.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only this queue, in detail
    queue: Option<String>,
    #[command(flatten)]
    project: ProjectOptions,
    /// Show it again and again until Ctrl-C: in place at a terminal, else as one block after another
    #[arg(long)]
    watch: bool,
    /// With --watch: how often, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2, requires = "watch", value_parser = clap::value_parser!(u64).range(1..=3600))]
    every: u64,
    /// Print one JSON document; with --watch, one per line
    #[arg(long)]
    json: bool,
}

/// What the database answers. `--json` prints it as it is, but for the commands in remedies.
#[derive(Debug, Deserialize)]
struct Status {
    at: Timestamp,
    problems: Vec<Problem>,
    queues: Vec<Queue>,
}

#[derive(Debug, Deserialize)]
struct Problem {
    queue: Option<String>,
    job: Option<String>,
    problem: String,
    remedy: String,
}

#[derive(Debug, Deserialize)]
struct Queue {
    name: String,
    function: String,
    is_paused: bool,
    workers: i64,
    busy_workers: i64,
    due: i64,
    later: i64,
    waiting: i64,
    in_progress: i64,
    /// Of those, the ones whose call has not begun.
    held: i64,
    last_hour: Hour,
    detail: Option<Detail>,
}

/// Null: nothing has ended.
#[derive(Debug, Deserialize)]
struct Hour {
    started: Option<i64>,
    successful: Option<i64>,
    failed: Option<i64>,
    cancelled: Option<i64>,
    retried: Option<i64>,
    wait_ms: Percentiles,
    run_ms: Percentiles,
}

#[derive(Debug, Deserialize)]
struct Percentiles {
    p50: Option<f64>,
    p95: Option<f64>,
}

/// More about the only queue.
#[derive(Debug, Deserialize)]
struct Detail {
    /// Those that differ from the default.
    settings: Map<String, Value>,
    minutes: Option<Vec<Minutes>>,
    oldest_due: Option<Due>,
    failures: Vec<Failure>,
}

#[derive(Debug, Deserialize)]
struct Minutes {
    ended: i64,
    failed: i64,
}

#[derive(Debug, Deserialize)]
struct Due {
    id: String,
    run_at: Timestamp,
    explain: String,
}

#[derive(Debug, Deserialize)]
struct Failure {
    jobs: i64,
    last_at: Timestamp,
    last_job: String,
    error_group: String,
    message: Option<String>,
}

/// Runs the command until it ends or is interrupted.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    if !arguments.watch {
        return command::run("status", once(&arguments)).await;
    }
    tokio::select! {
        result = watch(&arguments) => match result {
            Ok(status) => status,
            Err(error) => {
                user_error::print("supaqueue status", &error);
                ExitCode::FAILURE
            }
        },
        _ = stop_requested() => ExitCode::SUCCESS,
    }
}

async fn once(arguments: &Arguments) -> Result<ExitCode> {
    let project = arguments.project.pick().await?;
    let document = ask(arguments, &project, true).await?;
    let status = parse(&document)?;
    if let Some(wrong) = unknown_queue(arguments, &project, &status).await? {
        return Ok(wrong);
    }
    match arguments.json {
        true => outln!("{}", serde_json::to_string_pretty(&document)?),
        false => {
            let width = width(&console::Term::stdout());
            outln!("{}", view::text(&status, &project.name(), width, None));
        }
    }
    Ok(exit_status(&status))
}

fn exit_status(status: &Status) -> ExitCode {
    match status.problems.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Until nobody reads the output.
async fn watch(arguments: &Arguments) -> Result<ExitCode> {
    let project = arguments.project.pick().await?;
    let mut document = ask(arguments, &project, true).await?;
    let mut grouped = Instant::now();
    let mut status = parse(&document)?;
    if let Some(wrong) = unknown_queue(arguments, &project, &status).await? {
        return Ok(wrong);
    }
    let name = project.name();
    let every = Duration::from_secs(arguments.every);
    let mut source = Source::new(project);
    let mut screen = match arguments.json {
        true => None,
        false => Some(Screen::open()),
    };
    let mut lost: Option<String> = None;
    loop {
        let shown = match (&mut screen, &lost) {
            (None, None) => write_now(&format!("{document}\n")),
            (None, Some(why)) => {
                errln!("supaqueue status: {why}");
                Ok(())
            }
            (Some(screen), _) => show(screen, &status, &name, lost.as_deref()),
        };
        if shown.is_err() {
            return Ok(ExitCode::SUCCESS);
        }
        tokio::time::sleep(every).await;
        let with_failures = grouped.elapsed() > GROUP_EVERY;
        let asked =
            source.ask(async |project: &Project| ask(arguments, project, with_failures).await);
        let next = patiently(asked, |seconds| {
            if let Some(screen) = screen.as_mut().filter(|screen| screen.is_terminal()) {
                let why = lost.clone();
                let why = why.unwrap_or_else(|| format!("no answer for {seconds} s"));
                let _ = show(screen, &status, &name, Some(&why));
            }
        });
        match next.await {
            Ok(mut next) => {
                match (next.pointer_mut(FAILURES), document.pointer_mut(FAILURES)) {
                    (Some(next), Some(last)) if !with_failures => *next = last.take(),
                    _ => grouped = Instant::now(),
                }
                status = parse(&next)?;
                document = next;
                lost = None;
            }
            Err(error) => lost = Some(format!("{}; trying again", brief(&error))),
        }
    }
}

fn show(
    screen: &mut Screen,
    status: &Status,
    name: &str,
    lost: Option<&str>,
) -> std::io::Result<()> {
    let rows = screen.height();
    let mut text = view::text(
        status,
        name,
        screen.width(),
        rows.filter(|_| screen.is_terminal()),
    );
    if let Some(why) = lost {
        text = view::lost(why, status.at, screen.width()) + &text;
    }
    screen.show(&text)
}

async fn ask(arguments: &Arguments, project: &Project, with_failures: bool) -> Result<Value> {
    let queue = literal(arguments.queue.as_ref());
    let sql = include_str!("status.sql")
        .replace(":with_failures", &with_failures.to_string())
        .replace(":queue", &queue);
    let mut document: Value = project.read(&sql).await?;
    let problems = document.get_mut("problems").and_then(Value::as_array_mut);
    for problem in problems.into_iter().flatten() {
        if let Some(Value::String(remedy)) = problem.get_mut("remedy") {
            *remedy = project.options.with_commands(remedy);
        }
    }
    Ok(document)
}

fn parse(document: &Value) -> Result<Status> {
    Status::deserialize(document).context("unexpected answer of the database")
}

/// The exit status if the queue that was asked for does not exist.
async fn unknown_queue(
    arguments: &Arguments,
    project: &Project,
    status: &Status,
) -> Result<Option<ExitCode>> {
    match arguments
        .queue
        .as_ref()
        .filter(|_| status.queues.is_empty())
    {
        Some(queue) => no_queue("status", project, queue).await.map(Some),
        None => Ok(None),
    }
}

/// Says that there is no such queue, and which ones there are. Returns the exit status.
pub(crate) async fn no_queue(command: &str, project: &Project, queue: &str) -> Result<ExitCode> {
    let names: Vec<String> = project
        .read("select coalesce(jsonb_agg(q.name order by q.name), '[]') as result from (select q.name from supaqueue.queue q order by q.name limit 20) q")
        .await?;
    let names: Vec<_> = names.iter().map(|name| printable(name)).collect();
    let remedy = match names.is_empty() {
        true => "There are no queues at all.".to_owned(),
        false => format!("Queues: {}", names.join(", ")),
    };
    let message = format!("{} has no queue {}", project.name(), printable(queue));
    user_error::print(
        &format!("supaqueue {command}"),
        &user_error(message, remedy),
    );
    Ok(ExitCode::from(WRONG_ARGUMENT))
}
