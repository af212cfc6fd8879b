//! The results of a run, as stored in the JSON file.

use serde::Serialize;

use super::cpu_time::CpuTime;
use crate::machine::Noise;

/// A run.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    pub(super) date: String,
    pub(super) machine: String,
    pub(super) versions: Vec<String>,
    pub(super) sizes: Vec<Size>,
}

/// The results with a number of other jobs in the table.
#[derive(Debug, Serialize)]
pub(super) struct Size {
    pub(super) other_jobs: u32,
    pub(super) efficiency: Vec<Efficiency>,
    pub(super) max_throughput: Vec<MaxThroughput>,
    pub(super) latency: Vec<Latency>,
}

/// The throughput of a queue relative to its limit, workers ÷ (call time + hop).
#[derive(Debug, Serialize)]
pub(super) struct Efficiency {
    /// Whether this is the baseline, one pg_net call per job, rather than Supaqueue.
    pub(super) is_baseline: bool,
    pub(super) workers: u32,
    pub(super) call_ms: u32,
    pub(super) jobs_per_second: f64,
    pub(super) efficiency: f64,
    pub(super) goal: Option<f64>,
    pub(super) noise: Noise,
}

/// The throughput with a target that answers at once.
#[derive(Debug, Serialize)]
pub(super) struct MaxThroughput {
    pub(super) workers: u32,
    pub(super) jobs_per_second: f64,
    pub(super) cpu_ms_per_job: CpuTime,
    pub(super) noise: Noise,
}

/// The time from the commit of an insert, or from when a retry is due, until the call reaches the target.
#[derive(Debug, Serialize)]
pub(super) struct Latency {
    /// `idle`, `of a retry` or `under load`.
    pub(super) when: &'static str,
    pub(super) probes: usize,
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) noise: Noise,
}

impl Latency {
    /// The name of the highest value: the p99 of fewer than a hundred probes is their maximum.
    pub(super) fn highest(&self) -> &'static str {
        if self.probes < 100 { "max" } else { "p99" }
    }
}
