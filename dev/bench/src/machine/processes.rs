//! The CPU time of processes.

use std::collections::HashMap;

use procfs::process::{Stat, all_processes};

/// All processes on the machine.
pub(crate) fn processes() -> impl Iterator<Item = Stat> {
    all_processes()
        .into_iter()
        .flatten()
        .filter_map(|process| process.ok()?.stat().ok())
}

/// The CPU time that a process has used so far, in milliseconds.
pub(crate) fn cpu_ms(stat: &Stat) -> f64 {
    ticks_ms(stat.utime + stat.stime)
}

/// The CPU time that a process and all its descendants have used so far, in milliseconds, including
/// those that have ended.
pub(crate) fn tree_ms(root: i32) -> f64 {
    let all: HashMap<i32, Stat> = processes().map(|stat| (stat.pid, stat)).collect();
    let is_below = |mut pid: i32| {
        while pid != root {
            match all.get(&pid) {
                Some(stat) => pid = stat.ppid,
                None => return false,
            }
        }
        true
    };
    all.values()
        .filter(|stat| is_below(stat.pid))
        .map(|stat| cpu_ms(stat) + ticks_ms(u64::try_from(stat.cutime + stat.cstime).unwrap_or(0)))
        .sum()
}

/// Converts ticks of the kernel's accounting to milliseconds.
pub(super) fn ticks_ms(ticks: u64) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let ticks = ticks as f64;
    #[allow(clippy::cast_precision_loss, reason = "about a hundred")]
    let per_second = procfs::ticks_per_second() as f64;
    ticks * 1000.0 / per_second
}
