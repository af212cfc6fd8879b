//! `scripts/chaos`: injects every fault and waits for recovery.

mod small_disk;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use supaqueue_chaos::random::Seed;
use supaqueue_chaos::{Fault, Pace, Plan, Result, Scene, run};

/// Injects one fault after another into a local stack under load, and accounts for every job.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
struct Arguments {
    /// Seed of the random choices, to reproduce those of an earlier run
    #[arg(long)]
    seed: Option<u64>,
    /// Inject only these faults, in this order
    #[arg(long = "fault", value_name = "NAME", num_args = 1.., hide_possible_values = true)]
    faults: Vec<Fault>,
    /// List the faults
    #[arg(long)]
    list: bool,
    /// Run as the tests do: leases of seconds, faults without a break, one check at the end
    #[arg(long)]
    quick: bool,
    /// How long each fault lasts
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
    /// How long jobs may take to finish after a fault
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
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn list() {
    for fault in Fault::all().into_iter().chain([Fault::DiskFull]) {
        let value = fault.to_possible_value();
        let help = value.as_ref().and_then(|value| value.get_help());
        let help = help.map(ToString::to_string).unwrap_or_default();
        println!("{:<24}{help}", fault.name());
    }
}

/// Injects the faults. Returns whether no rule was violated.
async fn inject(arguments: Arguments) -> Result<bool> {
    let seed = match arguments.seed {
        Some(seed) => seed,
        None => std::time::UNIX_EPOCH.elapsed()?.subsec_nanos().into(),
    };
    let pace = match arguments.quick {
        true => Pace::Quick,
        false => Pace::Real,
    };
    let mut faults = arguments.faults;
    if faults.is_empty() {
        faults = Fault::all();
        faults.push(Fault::DiskFull);
    }
    // This fault needs a disk, and therefore a stack, of its own.
    let fills_disk = !small_disk::is_mounted() && faults.contains(&Fault::DiskFull);
    if fills_disk {
        faults.retain(|fault| *fault != Fault::DiskFull);
    }
    let plan = Plan {
        faults,
        time: Duration::from_secs(arguments.seconds),
        patience: Duration::from_secs(arguments.patience),
    };
    let mut is_ok = plan.faults.is_empty() || execute(seed, pace, &plan).await?;
    if fills_disk {
        is_ok &= small_disk::run(&options(seed, pace, &plan))?;
    }
    Ok(is_ok)
}

/// Executes a plan and prints the report. Returns whether no rule was violated.
async fn execute(seed: u64, pace: Pace, plan: &Plan) -> Result<bool> {
    println!("seed {seed}, {} s for each fault", plan.time.as_secs());
    let faults: Vec<_> = plan.faults.iter().map(|fault| fault.name()).collect();
    let again = format!(
        "reproduce with: ./scripts/chaos {} --fault {}",
        options(seed, pace, plan).join(" "),
        faults.join(" ")
    );
    let scene = Scene::start(Seed(seed), pace).await?;
    let report = run(&scene, plan).await;
    let report = report.map_err(|error| format!("{error}\n{again}"))?;
    println!("\n{report}");
    if !report.violations.is_empty() {
        println!("{again}");
    }
    Ok(report.violations.is_empty())
}

/// The command line options of a run, except its faults.
fn options(seed: u64, pace: Pace, plan: &Plan) -> Vec<String> {
    let (seconds, patience) = (plan.time.as_secs(), plan.patience.as_secs());
    let mut options = vec![
        format!("--seed={seed}"),
        format!("--seconds={seconds}"),
        format!("--patience={patience}"),
    ];
    if pace == Pace::Quick {
        options.push("--quick".into());
    }
    options
}
