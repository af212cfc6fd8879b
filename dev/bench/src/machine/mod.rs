//! The machine: what it is, and what else it does while something is measured on it.

mod computation;
mod disk;
mod disturbance;
mod processes;
mod quiet;

use procfs::{CpuInfo, Current, Meminfo};

use crate::Result;

pub(crate) use computation::computation_ms;
pub(crate) use disk::fsync_ms;
pub(crate) use disturbance::{Disturbance, Moment};
pub(crate) use processes::{milliseconds, processes};
pub(crate) use quiet::Quiet;

/// The machine, in a few words.
pub(crate) fn description() -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let processors = CpuInfo::current()?;
    // Only some architectures name it there.
    let model = processors.model_name(0).unwrap_or(std::env::consts::ARCH);
    let gib = Meminfo::current()?.mem_total.div_ceil(1 << 30);
    let kernel = procfs::sys::kernel::Version::current()?;
    Ok(format!(
        "{cores} cores of {model}, {gib} GiB of memory, Linux {}.{}",
        kernel.major, kernel.minor
    ))
}

/// The day, such as 2026-11-30.
pub(crate) fn today() -> String {
    chrono::Utc::now().format("%Y-%m-%d").to_string()
}
