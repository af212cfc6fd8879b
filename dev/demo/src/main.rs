//! The demo: sends the sections of text files through a queue on the local stack.

mod input;
mod pipeline;
mod progress;
mod queue;
mod sections;
mod stack;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use supaqueue_local::Stack;

use input::Text;
use progress::{Display, print, watch};
use queue::{Queue, TARGET};
use sections::Section;
use stack::{Outcome, with_stack};
use summary::Summary;

/// The exit status for unusable input.
const BAD_INPUT: u8 = 2;

/// Sends the sections of text files through a queue and shows their progress and a summary.
#[derive(Debug, Parser)]
#[command(name = "demo", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    other: Option<Other>,
    #[command(flatten)]
    options: Options,
}

/// The options of every demo.
#[derive(Debug, clap::Args)]
struct Options {
    /// Text or Markdown files [default: Supaqueue's README]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Workers of the queue measure-text: the maximum number of its calls in flight
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(i32).range(1..=100))]
    workers: i32,
}

/// The other demos.
#[derive(Debug, clap::Subcommand)]
enum Other {
    /// Splits texts, measures the parts and combines the results, as a pipeline of jobs
    Pipeline(Options),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments { other, options } = Arguments::parse();
    let (name, outcome) = match other {
        None => ("demo", run(&options.files, options.workers).await),
        Some(Other::Pipeline(Options { files, workers })) => {
            ("demo pipeline", pipeline::run(&files, workers).await)
        }
    };
    match outcome {
        Ok(Outcome::Success) => ExitCode::SUCCESS,
        Ok(Outcome::Failure) => ExitCode::FAILURE,
        Ok(Outcome::Interrupted(status)) => {
            eprintln!("{name}: interrupted");
            ExitCode::from(status)
        }
        Err(error) => {
            eprintln!("{name}: {error:#}");
            match error.is::<input::Unusable>() {
                true => ExitCode::from(BAD_INPUT),
                false => ExitCode::FAILURE,
            }
        }
    }
}

async fn run(files: &[PathBuf], workers: i32) -> Result<Outcome> {
    let texts = input::read(files)?;
    with_stack(async |stack: &Stack, start_time: Duration| {
        session(stack, &texts, workers, start_time).await
    })
    .await
}

/// Creates the queue, watches it, and prints the summary.
async fn session(
    stack: &Stack,
    texts: &[Text],
    workers: i32,
    start_time: Duration,
) -> Result<Outcome> {
    let files: Vec<(&str, Vec<Section>)> = texts
        .iter()
        .map(|text| (text.name.as_str(), text.sections()))
        .collect();
    let sections: usize = files.iter().map(|(_, sections)| sections.len()).sum();
    let queue = Queue::create(stack.database().connect().await?, workers).await?;
    queue.enqueue(&files).await?;
    print(&format!(
        "{sections} jobs in the queue {TARGET}, one for each section"
    ));
    let mut display = Display::new(sections as u64);
    let watched = watch(
        async || queue.progress().await,
        |progress| {
            display.show(*progress);
            progress.is_over()
        },
    )
    .await;
    drop(display);
    let totals = queue.totals().await?;
    let summary = Summary {
        totals: &totals,
        workers,
        start_time,
    };
    print(&summary.text());
    for problem in queue.problems().await? {
        print(&problem);
    }
    watched?;
    Ok(match totals.is_success(workers) {
        true => Outcome::Success,
        false => Outcome::Failure,
    })
}
