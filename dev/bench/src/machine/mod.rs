//! The machine: its description, and how much other load disturbs a measurement.

mod cpu_speed;
mod disk;
mod noise;
mod processes;
mod quiet;

use procfs::{CpuInfo, Current, Meminfo};

use crate::Result;

pub(crate) use cpu_speed::reference_ms;
pub(crate) use disk::fsync_ms;
pub(crate) use noise::{CpuSnapshot, Noise};
pub(crate) use processes::{cpu_ms, processes, tree_ms};
pub(crate) use quiet::Quiet;

/// A short description of the machine.
pub(crate) fn description() -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let processors = CpuInfo::current()?;
    // Only some architectures have a model name.
    let model = processors.model_name(0).unwrap_or(std::env::consts::ARCH);
    let gib = Meminfo::current()?.mem_total.div_ceil(1 << 30);
    let kernel = procfs::sys::kernel::Version::current()?;
    Ok(format!(
        "{cores} cores of {model}, {gib} GiB of memory, Linux {}.{}",
        kernel.major, kernel.minor
    ))
}

/// The date in UTC, such as 2026-11-30.
pub(crate) fn today() -> String {
    jiff::Timestamp::now().strftime("%F").to_string()
}
