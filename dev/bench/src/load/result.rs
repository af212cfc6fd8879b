//! The results of a run, as stored in the JSON file.

use serde::Serialize;

use super::latency::Finished;
use super::memory::Memory;
use super::size::Size;
use crate::machine::Noise;

/// A run. Times count from the first job.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    pub(super) date: String,
    pub(super) machine: String,
    pub(super) versions: Vec<String>,
    pub(super) minutes: f64,
    /// The time at the beginning that is not judged.
    pub(super) warm_up_minutes: f64,
    /// How long finished jobs are kept.
    pub(super) retention_minutes: f64,
    /// The capacity measured before.
    pub(super) capacity_per_second: f64,
    /// The rate at which jobs arrived.
    pub(super) rate_per_second: f64,
    pub(super) totals: Totals,
    pub(super) samples: Vec<Sample>,
    pub(super) windows: Vec<Window>,
    pub(super) vacuumed: Vec<Vacuumed>,
    /// Errors of the benchmark itself.
    pub(super) errors: Vec<String>,
}

/// The numbers of jobs.
#[derive(Debug, Serialize)]
pub(super) struct Totals {
    pub(super) inserted: u32,
    /// May or may not be inserted, because the connection was lost.
    pub(super) unconfirmed: u32,
    pub(super) successful: u32,
    /// Successful after more than one attempt.
    pub(super) retried: u32,
    /// Null if they could not be counted.
    pub(super) failed: Option<i64>,
    /// Unfinished two minutes after the last one arrived. Null if they could not be counted.
    pub(super) unfinished: Option<f64>,
}

/// The state at one time.
#[derive(Debug, Serialize)]
pub(super) struct Sample {
    pub(super) minute: f64,
    pub(super) memory: Memory,
    pub(super) sizes: Vec<Size>,
    /// The number of unfinished jobs.
    pub(super) backlog: f64,
}

/// A period of a minute, or less in a short run.
#[derive(Debug, Serialize)]
pub(super) struct Window {
    /// Its end.
    pub(super) minute: f64,
    pub(super) arrived_per_second: f64,
    pub(super) successful_per_second: f64,
    pub(super) finished: Finished,
    pub(super) noise: Noise,
}

/// The sizes right after a vacuum.
#[derive(Debug, Serialize)]
pub(super) struct Vacuumed {
    pub(super) minute: f64,
    pub(super) sizes: Vec<Size>,
}
