//! `scripts/chaos`: every fault, for as long as it takes.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use supaqueue_chaos::{Fault, Pace, Plan, Result, Scene, run};

/// Injects one fault after another into a local stack under load, and counts every job.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
struct Arguments {
    /// Repeats the choices of a run that had this seed
    #[arg(long)]
    seed: Option<u64>,
    /// Only these faults, in this order
    #[arg(long = "fault", value_name = "NAME", num_args = 1.., hide_possible_values = true)]
    faults: Vec<Fault>,
    /// Name the faults that there are
    #[arg(long)]
    list: bool,
    /// As the tests do it: leases of seconds, faults one upon the other, all counted in the end
    #[arg(long)]
    quick: bool,
    /// How long each fault goes on
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
    /// How long jobs may take to end after a fault
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    patience: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        list();
        return ExitCode::SUCCESS;
    }
    match inject(arguments).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    for fault in Fault::all() {
        let value = fault.to_possible_value();
        let help = value.as_ref().and_then(|value| value.get_help());
        println!(
            "{:<24}{}",
            fault.name(),
            help.map(ToString::to_string).unwrap_or_default()
        );
    }
}

async fn inject(arguments: Arguments) -> Result<ExitCode> {
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => std::time::UNIX_EPOCH.elapsed()?.subsec_nanos().into(),
    };
    let plan = Plan {
        faults: match arguments.faults.is_empty() {
            true => Fault::all(),
            false => arguments.faults,
        },
        time: Duration::from_secs(arguments.seconds),
        patience: Duration::from_secs(arguments.patience),
    };
    println!("seed {seed}, {} s for each fault", arguments.seconds);
    let pace = match arguments.quick {
        true => Pace::Quick,
        false => Pace::Real,
    };
    let scene = Scene::start(seed, pace).await?;
    let report = run(&scene, &plan).await;
    let again = again(seed, &plan, pace);
    let report = report.map_err(|error| format!("{error}\n{again}"))?;
    println!("\n{report}");
    if report.violations.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    println!("{again}");
    Ok(ExitCode::FAILURE)
}

/// The command that repeats a run.
fn again(seed: u64, plan: &Plan, pace: Pace) -> String {
    let faults: Vec<_> = plan.faults.iter().map(|fault| fault.name()).collect();
    format!(
        "again: ./scripts/chaos --seed {seed}{} --seconds {} --fault {}",
        if pace == Pace::Quick { " --quick" } else { "" },
        plan.time.as_secs(),
        faults.join(" ")
    )
}
