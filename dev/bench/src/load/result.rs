//! What is kept of a run, as it is in the JSON file.

use serde::Serialize;

use super::latency::Finished;
use super::memory::Memory;
use super::size::Size;
use crate::machine::Disturbance;

/// All of a run. Times are counted from the first job on.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    pub(super) date: String,
    pub(super) machine: String,
    pub(super) versions: Vec<String>,
    pub(super) minutes: f64,
    /// Not judged.
    pub(super) warm_up_minutes: f64,
    /// How long finished jobs are kept.
    pub(super) kept_minutes: f64,
    /// What the machine held before.
    pub(super) held_per_second: f64,
    /// The rate at which jobs arrived.
    pub(super) rate_per_second: f64,
    pub(super) totals: Totals,
    pub(super) samples: Vec<Sample>,
    pub(super) windows: Vec<Window>,
    pub(super) vacuumed: Vec<Vacuumed>,
    /// Of the measurement.
    pub(super) errors: Vec<String>,
}

/// What became of all jobs.
#[derive(Debug, Serialize)]
pub(super) struct Totals {
    pub(super) inserted: u32,
    /// It is not known whether they were inserted, since the connection was lost.
    pub(super) unsure: u32,
    pub(super) successful: u32,
    /// Took more than one attempt.
    pub(super) repeated: u32,
    /// Null: could not be counted.
    pub(super) failed: Option<i64>,
    /// Had not ended two minutes after the last one arrived; null: could not be counted.
    pub(super) left: Option<i64>,
}

/// One look.
#[derive(Debug, Serialize)]
pub(super) struct Sample {
    pub(super) minute: f64,
    pub(super) memory: Memory,
    pub(super) sizes: Vec<Size>,
    /// Jobs that are not finished.
    pub(super) backlog: i64,
}

/// A minute, or less in a short run.
#[derive(Debug, Serialize)]
pub(super) struct Window {
    /// Its end.
    pub(super) minute: f64,
    pub(super) arrived_per_second: f64,
    pub(super) successful_per_second: f64,
    pub(super) finished: Finished,
    pub(super) disturbance: Disturbance,
}

/// The sizes after `vacuum`.
#[derive(Debug, Serialize)]
pub(super) struct Vacuumed {
    pub(super) minute: f64,
    pub(super) sizes: Vec<Size>,
}
