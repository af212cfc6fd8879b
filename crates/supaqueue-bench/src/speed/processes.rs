//! The processor time of the stack's parts.

use std::collections::HashMap;

use procfs::process::{Stat, all_processes};
use serde::Serialize;
use supaqueue_local::Stack;

use crate::Result;

/// Milliseconds of processor time, by part.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Share {
    pub(super) postgres: f64,
    /// The stack's own process: the gateway, the stand-ins, and this measurement.
    pub(super) gateway: f64,
    pub(super) function: f64,
    pub(super) target: f64,
}

impl Share {
    /// What each part has used so far. Parts that ended meanwhile are not in it.
    pub(super) async fn now(stack: &Stack) -> Result<Self> {
        let postgres = stack.postgres().map(|postgres| postgres.pid());
        let function = stack.function_pid("supaqueue").await;
        let target = stack.function_pid("wait").await;
        let own = i32::try_from(std::process::id())?;
        let mut share = Self::default();
        for stat in processes() {
            let ms = milliseconds(&stat);
            let pid = Some(stat.pid);
            if stat.pid == own {
                share.gateway += ms;
            } else if pid == function {
                share.function += ms;
            } else if pid == target {
                share.target += ms;
            } else if pid == postgres || Some(stat.ppid) == postgres {
                share.postgres += ms;
            }
        }
        Ok(share)
    }

    /// What was used since, for each of some number of jobs.
    pub(super) fn since(self, before: Self, jobs: f64) -> Self {
        Self {
            postgres: (self.postgres - before.postgres) / jobs,
            gateway: (self.gateway - before.gateway) / jobs,
            function: (self.function - before.function) / jobs,
            target: (self.target - before.target) / jobs,
        }
    }

    pub(super) fn sum(self) -> f64 {
        self.postgres + self.gateway + self.function + self.target
    }
}

/// The processor time that this process and all that came of it have used so far, and that of the
/// ones that ended, in milliseconds.
pub(super) fn ours_ms() -> f64 {
    let all: HashMap<i32, Stat> = processes().map(|stat| (stat.pid, stat)).collect();
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let is_ours = |mut pid: i32| {
        while pid != own {
            match all.get(&pid) {
                Some(stat) => pid = stat.ppid,
                None => return false,
            }
        }
        true
    };
    all.values()
        .filter(|stat| is_ours(stat.pid))
        .map(|stat| {
            milliseconds(stat) + ticks_ms(u64::try_from(stat.cutime + stat.cstime).unwrap_or(0))
        })
        .sum()
}

fn processes() -> impl Iterator<Item = Stat> {
    all_processes()
        .into_iter()
        .flatten()
        .filter_map(|process| process.ok()?.stat().ok())
}

fn milliseconds(stat: &Stat) -> f64 {
    ticks_ms(stat.utime + stat.stime)
}

/// Ticks of the kernel's accounting in milliseconds.
pub(super) fn ticks_ms(ticks: u64) -> f64 {
    // Far below 2^52, so nothing is lost.
    #[allow(clippy::cast_precision_loss, reason = "ticks since the start")]
    let ticks = ticks as f64;
    #[allow(clippy::cast_precision_loss, reason = "about a hundred")]
    let per_second = procfs::ticks_per_second() as f64;
    ticks * 1000.0 / per_second
}
