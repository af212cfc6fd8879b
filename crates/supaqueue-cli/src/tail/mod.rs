//! `supaqueue tail`: the starts and ends of a queue's jobs as they happen.

mod events;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use console::Style;
use jiff::Timestamp;
use serde::Deserialize;

use crate::live::{Source, brief, write_now};
use crate::output::errln;
use crate::project::{Project, ProjectOptions, literal};
use crate::signal::stop_requested;
use crate::status::no_queue;
use crate::text::{duration, printable};
use crate::user_error;
use events::{Event, Events, Job, Kind};

/// How often the database is asked, and where each question takes a call of the Supabase CLI.
const EVERY: Duration = Duration::from_secs(1);
const EVERY_IF_SLOW: Duration = Duration::from_secs(5);

/// How many ended jobs are read at once.
const PAGE: usize = 5000;

/// Follows a queue: a line for each start, failed attempt and end of a job, until Ctrl-C.
///
/// The database is asked every second (every 5 s through the Supabase CLI). An end is never left out or repeated
/// while connected; of a call that is shorter than a second, there may be no start.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The queue's name
    queue: String,
    #[command(flatten)]
    project: ProjectOptions,
    /// Only failed attempts and failed jobs
    #[arg(long)]
    failed: bool,
    /// Print a JSON object per line
    #[arg(long)]
    json: bool,
}

/// What the database answers.
#[derive(Deserialize)]
struct Answer {
    exists: bool,
    at: Timestamp,
    /// Where to begin the next time.
    next: Timestamp,
    /// How many of the jobs have ended since the beginning.
    ended: usize,
    /// When the last of those did.
    last_end: Option<Timestamp>,
    jobs: Vec<Job>,
}

/// Runs the command until it is interrupted, or nobody reads its output any more.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    tokio::select! {
        result = tail(&arguments) => match result {
            Ok(status) => status,
            Err(error) => {
                user_error::print("supaqueue tail", &error);
                ExitCode::FAILURE
            }
        },
        _ = stop_requested() => ExitCode::SUCCESS,
    }
}

async fn tail(arguments: &Arguments) -> Result<ExitCode> {
    let project = arguments.project.pick().await?;
    let queue = &arguments.queue;
    let first = ask(&project, queue, None, &[]).await?;
    if !first.exists {
        return no_queue("tail", &project, queue).await;
    }
    errln!(
        "Queue {} of {}, from {} UTC on. Ctrl-C ends this.",
        printable(queue),
        project.name(),
        clock(first.at)
    );
    let every = if project.is_slow() {
        EVERY_IF_SLOW
    } else {
        EVERY
    };
    let mut source = Source::new(project);
    let mut events = Events::new(first.at);
    let mut since = first.at;
    let mut known: Vec<String> = first.jobs.into_iter().map(|job| job.id).collect();
    let mut is_lost = false;
    loop {
        let asked =
            source.ask(async |project: &Project| ask(project, queue, Some(since), &known).await);
        let answer = match asked.await {
            Ok(answer) => answer,
            Err(error) => {
                if !is_lost {
                    errln!("supaqueue tail: {}; trying again", brief(&error));
                }
                is_lost = true;
                tokio::time::sleep(every).await;
                continue;
            }
        };
        if is_lost {
            errln!("supaqueue tail: connected again");
            is_lost = false;
        }
        let is_full = answer.ended >= PAGE;
        known = answer
            .jobs
            .iter()
            .filter(|job| job.call.is_some())
            .map(|job| job.id.clone())
            .collect();
        for event in events.next(answer.jobs, since, answer.at) {
            let is_shown = !arguments.failed || matches!(event.kind, Kind::Retry | Kind::Failed);
            if is_shown && write_now(&line(&event, arguments.json)).is_err() {
                return Ok(ExitCode::SUCCESS);
            }
        }
        since = match answer.last_end.filter(|_| is_full) {
            None => answer.next,
            Some(last) if last > since => last,
            Some(last) => {
                // A statement has ended more jobs at one moment than are read at once.
                errln!(
                    "supaqueue tail: more than {PAGE} jobs ended at {} UTC; the others are left out",
                    clock(last)
                );
                last.checked_add(Duration::from_micros(1))?
            }
        };
        if !is_full {
            tokio::time::sleep(every).await;
        }
    }
}

async fn ask(
    project: &Project,
    queue: &str,
    since: Option<Timestamp>,
    known: &[String],
) -> Result<Answer> {
    let since = literal(since.map(|since| since.to_string()));
    let known = literal(Some(format!("{{{}}}", known.join(","))));
    let sql = include_str!("tail.sql")
        .replace(":since", &format!("{since}::timestamptz"))
        .replace(":known", &format!("{known}::uuid[]"))
        .replace(":page", &PAGE.to_string())
        .replace(":queue", &literal(Some(queue)));
    project.read(&sql).await
}

fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

fn line(event: &Event, is_json: bool) -> String {
    if is_json {
        return serde_json::to_string(event).unwrap_or_default() + "\n";
    }
    let style = match event.kind {
        Kind::Started => Style::new().dim(),
        Kind::Retry => Style::new().yellow(),
        Kind::Successful => Style::new().green(),
        Kind::Failed => Style::new().red(),
        Kind::Cancelled => Style::new(),
    };
    let mut line = format!(
        "{} {} {} #{}",
        clock(event.at),
        event.id,
        style.apply_to(format!("{:10}", event.kind.word())),
        event.attempt
    );
    if let Some(status) = event.http_status {
        line += &format!(" {status}");
    }
    if let Some(ms) = event.duration_ms {
        line += &format!(" {}", duration(ms as f64));
    }
    if let Some(message) = &event.message {
        // Most begin with the status, which is there already.
        let status = event.http_status.map(|status| format!("status {status}"));
        let rest = status.and_then(|status| message.strip_prefix(&status));
        let message = rest.map_or(message.as_str(), |rest| {
            rest.trim_start_matches(':').trim_start()
        });
        line += &format!(" {}", printable(message));
    }
    line.trim_end().to_owned() + "\n"
}
