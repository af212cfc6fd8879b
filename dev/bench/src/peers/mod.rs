//! Compares Supaqueue with other queues in Postgres.
//!
//! All call the same target through the same gateway, with the same number of calls in flight, and use the
//! same Postgres server. Each measurement is taken of one after the other, in rounds, so that a slow phase
//! of the machine affects all of them.

mod latency;
mod peer;
mod report;
mod target;
mod throughput;
mod usage;
mod worker;

use std::time::Duration;

use serde::Serialize;

use crate::machine::{self, CpuSnapshot, Noise, reference_ms};
use crate::project::Project;
use crate::{Result, results};
use latency::{Arrivals, Latency};
use peer::{Load, Peer};
use target::Target;
use throughput::Throughput;

/// The loads at which throughput is measured.
const LOADS: [Load; 3] = [
    Load {
        places: 10,
        call_ms: 100,
    },
    Load {
        places: 50,
        call_ms: 100,
    },
    Load {
        places: 50,
        call_ms: 0,
    },
];

/// The others run in a process whose processor time nobody limits.
const UNLIMITED: [(&str, &str); 1] = [("SUPAQUEUE_JOBS_PER_RUN", "1000000")];

/// The size of the benchmark.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// How often everything is measured.
    rounds: usize,
    /// How long jobs run before they are counted.
    warm_up: Duration,
    /// How long jobs are counted, or arrive.
    window: Duration,
    /// The number of jobs of an idle queue.
    idle_jobs: usize,
    /// Whether the results are kept.
    is_kept: bool,
}

pub(crate) const FULL: Scale = Scale {
    rounds: 4,
    warm_up: Duration::from_secs(4),
    window: Duration::from_secs(20),
    idle_jobs: 25,
    is_kept: true,
};

pub(crate) const QUICK: Scale = Scale {
    rounds: 1,
    warm_up: Duration::from_secs(2),
    window: Duration::from_secs(5),
    idle_jobs: 5,
    is_kept: false,
};

/// A run, as stored in the JSON file.
#[derive(Debug, Serialize)]
struct Run {
    date: String,
    machine: String,
    versions: Vec<String>,
    half_load: f64,
    throughput: Vec<Measurement<Load, Throughput>>,
    latency: Vec<Measurement<Arrivals, Latency>>,
}

/// A result of one queue in one round.
#[derive(Debug, Serialize)]
struct Measurement<L, R> {
    peer: Peer,
    load: L,
    result: R,
    noise: Noise,
}

impl<L, R> Measurement<L, R> {
    /// Takes it.
    async fn take(peer: Peer, load: L, result: impl Future<Output = Result<R>>) -> Result<Self> {
        let reference = reference_ms();
        let before = CpuSnapshot::now()?;
        let result = result
            .await
            .map_err(|error| format!("{}: {error}", peer.name()))?;
        let noise = Noise {
            reference_ms: Some(reference.max(reference_ms())),
            ..CpuSnapshot::now()?.since(&before)
        };
        Ok(Self {
            peer,
            load,
            result,
            noise,
        })
    }
}

/// Runs the benchmark, and prints and stores the results.
pub(crate) async fn measure(scale: Scale, hop: Duration) -> Result<()> {
    let project = Project::start(hop, &UNLIMITED).await?;
    let run = run(&project, scale).await;
    project.stop().await;
    let run = run?;
    let report = report::markdown(&run);
    println!("\n{report}");
    results::write(&results::name("peers", hop), scale.is_kept, &run, &report)?;
    Ok(())
}

async fn run(project: &Project, scale: Scale) -> Result<Run> {
    let target = Target::of(project)?;
    let mut run = Run {
        date: machine::today(),
        machine: machine::description()?,
        versions: Vec::new(),
        half_load: latency::half_load(project),
        throughput: Vec::new(),
        latency: Vec::new(),
    };
    for round in 1..=scale.rounds {
        println!("\nround {round} of {}:", scale.rounds);
        // Another one is first in each round.
        let mut peers = Peer::ALL;
        peers.rotate_left((round - 1) % Peer::ALL.len());
        for load in LOADS {
            for peer in peers {
                let result = throughput::measure(project, &target, peer, load, scale);
                let taken = Measurement::take(peer, load, result).await?;
                report::print_throughput(&taken);
                run.throughput.push(taken);
            }
        }
        for arrivals in Arrivals::BOTH {
            for peer in peers {
                let result = latency::measure(project, &target, peer, arrivals, scale);
                let taken = Measurement::take(peer, arrivals, result).await?;
                report::print_latency(&taken);
                run.latency.push(taken);
            }
        }
    }
    // The versions are asked of a running target.
    target.collect().await?;
    run.versions = project.versions().await?;
    run.versions.extend(worker::versions()?);
    Ok(run)
}
