//! What is kept of a run, as it is in the JSON file.

use serde::Serialize;

use super::share::Share;
use crate::machine::Disturbance;

/// All of a run.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    pub(super) date: String,
    pub(super) machine: String,
    pub(super) versions: Vec<String>,
    pub(super) sizes: Vec<Size>,
}

/// What was measured beside some number of other jobs in the table.
#[derive(Debug, Serialize)]
pub(super) struct Size {
    pub(super) other_jobs: u32,
    pub(super) efficiency: Vec<Efficiency>,
    pub(super) ceiling: Vec<Ceiling>,
    pub(super) latency: Vec<Latency>,
}

/// How near a queue came to its limit, workers ÷ call time.
#[derive(Debug, Serialize)]
pub(super) struct Efficiency {
    /// `supaqueue` or `usual way`.
    pub(super) way: &'static str,
    pub(super) workers: u32,
    pub(super) call_ms: u32,
    pub(super) jobs_per_second: f64,
    pub(super) efficiency: f64,
    pub(super) goal: Option<f64>,
    pub(super) disturbance: Disturbance,
}

/// What a target that takes no time leaves of the machine.
#[derive(Debug, Serialize)]
pub(super) struct Ceiling {
    pub(super) workers: u32,
    pub(super) jobs_per_second: f64,
    /// Milliseconds of processor time for each job.
    pub(super) processor_ms_per_job: Share,
    pub(super) disturbance: Disturbance,
}

/// From the commit of an insert to the target, in milliseconds.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    /// `idle` or `under load`.
    pub(super) when: &'static str,
    pub(super) probes: usize,
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) disturbance: Disturbance,
}

impl Latency {
    /// What the last number is: of fewer than a hundred probes it is the largest of all.
    pub(super) fn last(&self) -> &'static str {
        if self.probes < 100 { "most" } else { "p99" }
    }
}
