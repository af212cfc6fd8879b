//! `demo pipeline`: splits texts, measures the parts, and combines the results.
//!
//! The number of parts is only known after the first job of a pipeline.

mod graph;
mod jobs;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use supaqueue_local::Stack;

use super::input::{self, Text};
use super::progress::{print, watch};
use super::stack::{Outcome, with_stack};
use graph::Display;
use jobs::{Pipelines, Stage};

pub(super) async fn run(files: &[PathBuf], workers: i32) -> Result<Outcome> {
    let texts = input::read(files)?;
    for text in &texts {
        text.check_fits_in_a_job()?;
    }
    with_stack(async |stack: &Stack, _: Duration| session(stack, &texts, workers).await).await
}

/// Inserts the pipelines, watches them, and prints their results.
async fn session(stack: &Stack, texts: &[Text], workers: i32) -> Result<Outcome> {
    let database = Pipelines::create(stack.database().connect().await?, workers).await?;
    let pipelines = database.enqueue(texts).await?;
    print(
        "each text is a pipeline: split-text, then measure-text for each part, then combine-measures",
    );
    let mut display = Display::new(&pipelines);
    let read = async || {
        let mut all = Vec::new();
        for pipeline in &pipelines {
            all.push(database.stages(pipeline).await?);
        }
        Ok(all)
    };
    watch(read, |all: &Vec<Vec<Stage>>| {
        let is_over = all.iter().flatten().all(Stage::is_over);
        display.show(all, is_over);
        is_over
    })
    .await?;
    drop(display);

    let mut outcome = Outcome::Success;
    for pipeline in &pipelines {
        match database.outcome(pipeline).await? {
            Ok(combined) => print(&format!("{}: {combined}", pipeline.name)),
            Err(problem) => {
                outcome = Outcome::Failure;
                print(&format!("{}: {problem}", pipeline.name));
            }
        }
    }
    if let [pipeline, ..] = &pipelines[..] {
        print(&format!(
            "\nsupaqueue.pipeline_mermaid draws {} as:\n\n{}",
            pipeline.name,
            database.mermaid(pipeline).await?
        ));
    }
    Ok(outcome)
}
