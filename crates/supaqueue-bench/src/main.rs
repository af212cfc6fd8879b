//! Measures what the engine costs, on a Postgres whose commits wait for the disk.
//!
//! Each number is a median of runs that take turns, so that a slow moment of the
//! machine meets all of them; what the machine did meanwhile is printed beside them.

mod insert;
mod lanes;
mod machine;
mod open_transaction;
mod project;
mod settle;
mod table;
mod tick;

use std::process::ExitCode;
use std::time::Duration;

use machine::{Moment, Noise};
use project::Project;
use table::Table;

/// Whatever goes wrong ends the measurement.
type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;

const USAGE: &str = "usage: bench engine [quick]   quick: a tenth of the jobs and of the time, to see that it works";

/// How much is measured.
#[derive(Debug, Clone, Copy)]
struct Scale {
    /// "A million jobs".
    many: u32,
    /// "Ten thousand jobs".
    few: u32,
    /// Turns of what is compared.
    turns: usize,
    /// How long a turn takes.
    turn: Duration,
    /// How long a transaction is left open.
    open: Duration,
}

const FULL: Scale = Scale {
    many: 1_000_000,
    few: 10_000,
    turns: 7,
    turn: Duration::from_secs(3),
    open: Duration::from_secs(60),
};

const QUICK: Scale = Scale {
    many: 100_000,
    few: 10_000,
    turns: 3,
    turn: Duration::from_secs(1),
    open: Duration::from_secs(6),
};

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let scale = match words.as_slice() {
        [] => FULL,
        ["quick"] => QUICK,
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match measure(scale).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn measure(scale: Scale) -> Result<()> {
    let project = Project::start().await?;
    let mut table = Table::default();
    println!(
        "Postgres {}, fsync on, {}\n",
        project.version(),
        machine::description()
    );

    let mut backlogs = settle::backlogs(&project, scale).await?;
    quietly(&project, settle::cost(&mut backlogs, scale, &mut table)).await?;
    quietly(&project, tick::idle(&backlogs, &mut table)).await?;
    quietly(&project, insert::one_into_busy_queue(&backlogs, &mut table)).await?;
    quietly(&project, insert::many_at_once(&project, &mut table)).await?;
    quietly(&project, settle::throughput(&project, scale, &mut table)).await?;
    quietly(
        &project,
        open_transaction::beside(&project, scale, &mut table),
    )
    .await?;

    println!("\n{table}");
    Ok(())
}

/// Shows after a measurement how quiet the machine was.
async fn quietly(project: &Project, measurement: impl Future<Output = Result<()>>) -> Result<()> {
    let before = Moment::now(project.folder())?;
    measurement.await?;
    println!(
        "  the machine: {}\n",
        Noise(&before, &Moment::now(project.folder())?)
    );
    Ok(())
}
