//! `demo pipeline`: texts split, measured part by part, and combined.
//!
//! How many parts a text has is known only when its first job has run.

mod graph;
mod jobs;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use supaqueue_local::Stack;

use super::input::{self, Text};
use super::progress::say;
use super::{BAD_INPUT, BETWEEN_LOOKS, End, STANDSTILL};
use graph::Display;
use jobs::Pipelines;

/// Splits texts, measures the parts, and combines what was measured, as a pipeline of jobs.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Text or Markdown files; Supaqueue's README where none is given
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The workers of the queue that measures: as many of its calls run at once, at most
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(i32).range(1..=100))]
    workers: i32,
}

/// Runs the demo to its end, or until Ctrl-C.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    let texts = match input::texts(&arguments.files) {
        Ok(texts) => texts,
        Err(unusable) => {
            eprintln!("demo pipeline: {unusable}");
            return ExitCode::from(BAD_INPUT);
        }
    };
    super::exit(
        "demo pipeline",
        super::on_a_stack(async |stack: &Stack, _: Duration| {
            session(stack, &texts, arguments.workers).await
        })
        .await,
    )
}

/// The pipelines, from their insertion to what came out of them.
async fn session(stack: &Stack, texts: &[Text], workers: i32) -> Result<End> {
    let pipelines = Pipelines::create(stack.database().connect().await?, workers).await?;
    let documents = pipelines.enqueue(texts).await?;
    say(
        "each text is a pipeline: split-text, then measure-text for each part, then combine-measures",
    );
    watch(&pipelines, &documents).await?;

    let mut is_good = true;
    for document in &documents {
        match pipelines.outcome(document).await? {
            Ok(whole) => say(&format!("{}: {whole}", document.name)),
            Err(problem) => {
                is_good = false;
                say(&format!("{}: {problem}", document.name));
            }
        }
    }
    if let [document, ..] = &documents[..] {
        say(&format!(
            "\nsupaqueue.pipeline_mermaid shows {} so:\n\n{}",
            document.name,
            pipelines.mermaid(document).await?
        ));
    }
    Ok(if is_good { End::Good } else { End::Bad })
}

/// Shows the graphs with their states until all jobs are finished.
async fn watch(pipelines: &Pipelines, documents: &[jobs::Document]) -> Result<()> {
    let mut display = Display::new(documents);
    let mut last = (Instant::now(), Vec::new());
    loop {
        let mut graphs = Vec::new();
        for document in documents {
            graphs.push(pipelines.stages(document).await?);
        }
        let is_over = graphs.iter().flatten().all(jobs::Stage::is_over);
        display.show(&graphs, is_over);
        if is_over {
            return Ok(());
        }
        if graphs != last.1 {
            last = (Instant::now(), graphs);
        } else if last.0.elapsed() > STANDSTILL {
            bail!("nothing happened for {} s", STANDSTILL.as_secs());
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}
