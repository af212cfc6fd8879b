//! `scripts/chaos`: every fault, for as long as it takes.

mod small_disk;

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
    for fault in Fault::all().into_iter().chain([Fault::DiskFull]) {
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
    let pace = match arguments.quick {
        true => Pace::Quick,
        false => Pace::Real,
    };
    let mut faults = arguments.faults;
    if faults.is_empty() {
        faults = Fault::all();
        faults.push(Fault::DiskFull);
    }
    // That one has a disk of its own, and so a stack of its own.
    let fills_disk = !small_disk::is_here() && faults.contains(&Fault::DiskFull);
    if fills_disk {
        faults.retain(|fault| *fault != Fault::DiskFull);
    }
    let plan = Plan {
        faults,
        time: Duration::from_secs(arguments.seconds),
        patience: Duration::from_secs(arguments.patience),
    };
    let mut outcome = ExitCode::SUCCESS;
    if !plan.faults.is_empty() && !is_good(seed, pace, &plan).await? {
        outcome = ExitCode::FAILURE;
    }
    if fills_disk && !small_disk::is_good(&options(seed, pace, &plan))? {
        outcome = ExitCode::FAILURE;
    }
    Ok(outcome)
}

/// Runs a plan, and shows what came of it.
async fn is_good(seed: u64, pace: Pace, plan: &Plan) -> Result<bool> {
    println!("seed {seed}, {} s for each fault", plan.time.as_secs());
    let faults: Vec<_> = plan.faults.iter().map(|fault| fault.name()).collect();
    let again = format!(
        "again: ./scripts/chaos {} --fault {}",
        options(seed, pace, plan).join(" "),
        faults.join(" ")
    );
    let scene = Scene::start(seed, pace).await?;
    let report = run(&scene, plan).await;
    let report = report.map_err(|error| format!("{error}\n{again}"))?;
    println!("\n{report}");
    if !report.violations.is_empty() {
        println!("{again}");
    }
    Ok(report.violations.is_empty())
}

/// The options of a run, but its faults.
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
