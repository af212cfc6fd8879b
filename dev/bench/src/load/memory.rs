//! The memory of each part of the stack.

use procfs::WithCurrentSystemInfo;
use procfs::process::{MMapPath, Process};
use serde::Serialize;

use crate::Result;
use crate::machine::processes;

const MB: f64 = 1_000_000.0;

/// Memory in megabytes, by part.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Memory {
    /// The processes of the supaqueue function.
    pub(super) function: Vec<Generation>,
    /// The processes of the target.
    pub(super) target: Vec<Generation>,
    /// Resident memory of this process: the gateway, the emulated extensions, and the benchmark itself.
    pub(super) gateway_mb: f64,
    /// Memory of all Postgres processes, without shared buffers and files.
    pub(super) postgres_private_mb: f64,
}

/// A process of a function. One replaces the other when it reaches the wall-clock limit.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Generation {
    pub(super) pid: i32,
    pub(super) resident_mb: f64,
}

/// The ids of the processes.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) function: Vec<i32>,
    pub(super) target: Vec<i32>,
    pub(super) postgres: Option<i32>,
}

impl Memory {
    /// Measures the current memory. This blocks the thread for a while.
    pub(super) fn of(parts: &Parts) -> Result<Self> {
        let mut postgres_private_mb = 0.0;
        for stat in processes() {
            let is_postgres = Some(stat.pid) == parts.postgres || Some(stat.ppid) == parts.postgres;
            // Processes that have ended in the meantime are ignored.
            if is_postgres && let Ok(process) = Process::new(stat.pid) {
                postgres_private_mb += private_mb(&process).unwrap_or(0.0);
            }
        }
        Ok(Self {
            function: generations(&parts.function),
            target: generations(&parts.target),
            gateway_mb: resident_mb(&Process::myself()?)?,
            postgres_private_mb,
        })
    }
}

fn generations(pids: &[i32]) -> Vec<Generation> {
    let generation = |pid: &i32| {
        let process = Process::new(*pid).ok()?;
        Some(Generation {
            pid: *pid,
            resident_mb: resident_mb(&process).ok()?,
        })
    };
    pids.iter().filter_map(generation).collect()
}

fn resident_mb(process: &Process) -> Result<f64> {
    let bytes = process.stat()?.rss_bytes().get();
    Ok(megabytes(bytes))
}

/// The process's share of anonymous memory, see proc_pid_smaps(5).
fn private_mb(process: &Process) -> Option<f64> {
    let maps = process.smaps_rollup().ok()?.memory_map_rollup;
    let all = maps.iter().find(|map| map.pathname == MMapPath::Rollup)?;
    all.extension.map.get("Pss_Anon").copied().map(megabytes)
}

fn megabytes(bytes: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let bytes = bytes as f64;
    bytes / MB
}
