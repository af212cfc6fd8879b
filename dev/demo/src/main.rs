//! The demo: the sections of text files, sent through a queue on the local stack.

mod input;
mod pipeline;
mod progress;
mod queue;
mod sections;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Parser;
use supaqueue_local::{Stack, stop_requested};

use input::Document;
use progress::{Display, Waiting, say};
use queue::{Progress, Queue, TARGET};
use summary::Summary;

/// The target functions.
const FUNCTIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/functions");

/// The input cannot be used.
const BAD_INPUT: u8 = 2;

/// Stopped by Ctrl-C, as a shell counts it.
const INTERRUPTED: u8 = 130;

/// How often the queue is looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

/// A queue that stands still for so long will not go on.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Sends the sections of text files through a queue, watches them, and counts.
#[derive(Debug, Parser)]
#[command(name = "demo", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    other: Option<Other>,
    /// Text or Markdown files; Supaqueue's README where none is given
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The workers of the queue: as many calls run at once, at most
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(i32).range(1..=100))]
    workers: i32,
}

/// The other demos.
#[derive(Debug, clap::Subcommand)]
enum Other {
    Pipeline(pipeline::Arguments),
}

/// How the demo ended.
enum End {
    /// Every job was successful, and no more calls were in flight than there are workers.
    Good,
    Bad,
    Interrupted,
}

/// Runs the demo to its end, or until Ctrl-C.
#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(Other::Pipeline(arguments)) = arguments.other {
        return pipeline::run(arguments).await;
    }
    let documents = match input::read(&arguments.files) {
        Ok(documents) => documents,
        Err(unusable) => {
            eprintln!("demo: {unusable}");
            return ExitCode::from(BAD_INPUT);
        }
    };
    exit(
        "demo",
        on_a_stack(async |stack: &Stack, start: Duration| {
            session(stack, &documents, arguments.workers, start).await
        })
        .await,
    )
}

/// Tells how a demo ended, as a shell expects it.
fn exit(command: &str, end: Result<End>) -> ExitCode {
    match end {
        Ok(End::Good) => ExitCode::SUCCESS,
        Ok(End::Bad) => ExitCode::FAILURE,
        Ok(End::Interrupted) => {
            eprintln!("{command}: stopped");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("{command}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Starts the stack, has the work done, and stops the stack, however that went.
/// The work is told how long the start took.
async fn on_a_stack(work: impl AsyncFnOnce(&Stack, Duration) -> Result<End>) -> Result<End> {
    let mut stop = std::pin::pin!(stop_requested());
    let waiting = Waiting::for_("starting Postgres, the gateway and the functions");
    let begin = Instant::now();
    let stack = tokio::select! {
        stack = Stack::builder().functions(FUNCTIONS).start() => stack?,
        // What is half started goes with the future.
        () = &mut stop => return Ok(End::Interrupted),
    };
    let start = begin.elapsed();
    drop(waiting);
    let end = tokio::select! {
        end = work(&stack, start) => end,
        () = &mut stop => Ok(End::Interrupted),
    };
    stack.stop().await;
    end
}

/// One queue, from its creation to the summary.
async fn session(
    stack: &Stack,
    documents: &[Document],
    workers: i32,
    start: Duration,
) -> Result<End> {
    let sections: usize = documents
        .iter()
        .map(|document| document.sections.len())
        .sum();
    let queue = Queue::create(stack.database().connect().await?, workers).await?;
    queue.enqueue(documents).await?;
    say(&format!(
        "{sections} jobs in the queue {TARGET}, one for each section"
    ));
    let watched = watch(&queue, sections as u64).await;
    let totals = queue.totals().await?;
    say(&Summary {
        totals: &totals,
        workers,
        start,
    }
    .text());
    for problem in queue.problems().await? {
        say(&problem);
    }
    watched?;
    Ok(if totals.is_good(workers) {
        End::Good
    } else {
        End::Bad
    })
}

/// Shows the queue's progress until all jobs are finished.
async fn watch(queue: &Queue, jobs: u64) -> Result<()> {
    let mut display = Display::new(jobs);
    let mut last = (Instant::now(), Progress::default());
    loop {
        let progress = queue.progress().await?;
        display.show(progress);
        if progress.is_over() {
            return Ok(());
        }
        if progress != last.1 {
            last = (Instant::now(), progress);
        } else if last.0.elapsed() > STANDSTILL {
            bail!("nothing happened for {} s", STANDSTILL.as_secs());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
