//! `supaqueue pause` and `supaqueue resume`.

use std::process::ExitCode;

use anyhow::Result;
use serde::Deserialize;

use crate::command;
use crate::output::{errln, outln};
use crate::project::{ProjectOptions, literal};
use crate::status::no_queue;
use crate::text::{number, printable};

/// Pauses a queue: it starts no job any more, and calls in flight end normally. Jobs can be inserted.
#[derive(Debug, clap::Args)]
pub(crate) struct Pause {
    /// The queue's name
    queue: String,
    #[command(flatten)]
    project: ProjectOptions,
}

/// Ends the pause of a queue: it starts what is due.
#[derive(Debug, clap::Args)]
pub(crate) struct Resume {
    /// The queue's name
    queue: String,
    #[command(flatten)]
    project: ProjectOptions,
}

/// Runs the command until it ends or is interrupted.
pub(crate) async fn pause(Pause { queue, project }: Pause) -> ExitCode {
    command::run("pause", set(&queue, &project, true)).await
}

/// Runs the command until it ends or is interrupted.
pub(crate) async fn resume(Resume { queue, project }: Resume) -> ExitCode {
    command::run("resume", set(&queue, &project, false)).await
}

#[derive(Deserialize)]
struct Outcome {
    was_paused: bool,
    in_progress: i64,
    due: i64,
}

async fn set(queue: &str, options: &ProjectOptions, is_paused: bool) -> Result<ExitCode> {
    let project = options.pick().await?;
    let name = literal(Some(queue));
    // What was true before comes from a statement before, which locks the row.
    let sql = format!(
        "select set_config('supaqueue.was_paused', (select q.is_paused::text from supaqueue.queue q where q.name = {name} for update), true);
         update supaqueue.queue set is_paused = {is_paused} where name = {name} and is_paused <> {is_paused};
         select (
           select jsonb_build_object(
             'was_paused', current_setting('supaqueue.was_paused')::boolean,
             'in_progress', (select count(*) from supaqueue.current_job c where c.queue = q.id),
             'due', (select count(*) from (select from supaqueue.ready_job r where r.queue = q.id limit 100001) c))
           from supaqueue.queue q where q.name = {name}
         ) as result"
    );
    let outcome: Option<Outcome> = project.write(&sql).await?;
    let Some(outcome) = outcome else {
        let command = if is_paused { "pause" } else { "resume" };
        return no_queue(command, &project, queue).await;
    };
    errln!("{}", project.name());
    let (shown, due) = (printable(queue), number(outcome.due));
    match (is_paused, outcome.was_paused) {
        (true, false) => outln!(
            "Queue {shown} is paused: it starts no job. Calls in flight end normally: {}. Due: {due}.",
            outcome.in_progress
        ),
        (true, true) => outln!(
            "Queue {shown} was paused already. Calls in flight: {}. Due: {due}.",
            outcome.in_progress
        ),
        (false, true) => {
            outln!("Queue {shown} is not paused any more: it starts what is due ({due}).")
        }
        (false, false) => outln!("Queue {shown} was not paused. Due: {due}."),
    }
    if is_paused {
        outln!(
            "End the pause with: {}",
            project.command("resume").word(queue)
        );
    }
    Ok(ExitCode::SUCCESS)
}
