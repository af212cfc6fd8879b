//! The processor time of processes.

use std::collections::HashMap;

use procfs::process::{Stat, all_processes};

/// All processes of the machine.
pub(crate) fn processes() -> impl Iterator<Item = Stat> {
    all_processes()
        .into_iter()
        .flatten()
        .filter_map(|process| process.ok()?.stat().ok())
}

/// The processor time that a process has used so far.
pub(crate) fn milliseconds(stat: &Stat) -> f64 {
    ticks_ms(stat.utime + stat.stime)
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

/// Ticks of the kernel's accounting in milliseconds.
pub(super) fn ticks_ms(ticks: u64) -> f64 {
    // Far below 2^52, so nothing is lost.
    #[allow(clippy::cast_precision_loss, reason = "ticks since the start")]
    let ticks = ticks as f64;
    #[allow(clippy::cast_precision_loss, reason = "about a hundred")]
    let per_second = procfs::ticks_per_second() as f64;
    ticks * 1000.0 / per_second
}
