//! The memory of the stack's parts.

use procfs::process::{MMapPath, Process};
use procfs::{Current, Uptime, WithCurrentSystemInfo};
use serde::Serialize;

use crate::Result;
use crate::machine::processes;

const MB: f64 = 1_000_000.0;

/// What each part has, in megabytes.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Memory {
    /// The processes of the supaqueue function.
    pub(super) function: Vec<Generation>,
    /// The processes of the target.
    pub(super) target: Vec<Generation>,
    /// Resident, of the stack's own process: the gateway, the stand-ins, and this measurement.
    pub(super) gateway_mb: f64,
    /// Of all processes of Postgres, what they share counted once ("proportional set size").
    pub(super) postgres_mb: f64,
    /// Of that, what is not shared buffers nor files.
    pub(super) postgres_own_mb: f64,
}

/// A function's process: one follows the other, as the platform ends them by the wall clock.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Generation {
    pub(super) pid: i32,
    /// Since its start.
    pub(super) age_s: f64,
    pub(super) resident_mb: f64,
}

/// Which processes are which.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) function: Vec<i32>,
    pub(super) target: Vec<i32>,
    pub(super) postgres: Option<i32>,
}

impl Memory {
    /// What they have now. It takes a while, in which the thread is blocked.
    pub(super) fn of(parts: &Parts) -> Result<Self> {
        let (mut postgres_mb, mut postgres_own_mb) = (0.0, 0.0);
        for stat in processes() {
            let is_postgres = Some(stat.pid) == parts.postgres || Some(stat.ppid) == parts.postgres;
            // One that has ended since has nothing.
            if is_postgres && let Ok(process) = Process::new(stat.pid) {
                postgres_mb += proportional_mb(&process, "Pss").unwrap_or(0.0);
                postgres_own_mb += proportional_mb(&process, "Pss_Anon").unwrap_or(0.0);
            }
        }
        Ok(Self {
            function: generations(&parts.function)?,
            target: generations(&parts.target)?,
            gateway_mb: resident_mb(&Process::myself()?)?,
            postgres_mb,
            postgres_own_mb,
        })
    }
}

fn generations(pids: &[i32]) -> Result<Vec<Generation>> {
    let uptime = Uptime::current()?.uptime;
    let generation = |pid: &i32| {
        let process = Process::new(*pid).ok()?;
        let started = process.stat().ok()?.starttime;
        #[allow(
            clippy::cast_precision_loss,
            reason = "ticks since the machine's start"
        )]
        let started_s = started as f64 / procfs::ticks_per_second() as f64;
        Some(Generation {
            pid: *pid,
            age_s: uptime - started_s,
            resident_mb: resident_mb(&process).ok()?,
        })
    };
    Ok(pids.iter().filter_map(generation).collect())
}

fn resident_mb(process: &Process) -> Result<f64> {
    let bytes = process.stat()?.rss_bytes().get();
    Ok(megabytes(bytes))
}

/// A line of smaps_rollup (proc_pid_smaps(5)).
fn proportional_mb(process: &Process, line: &str) -> Option<f64> {
    let maps = process.smaps_rollup().ok()?.memory_map_rollup;
    let all = maps.iter().find(|map| map.pathname == MMapPath::Rollup)?;
    all.extension.map.get(line).copied().map(megabytes)
}

fn megabytes(bytes: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let bytes = bytes as f64;
    bytes / MB
}
