//! What else the machine does while something is measured on it.

use std::fmt;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use crate::Result;
use crate::table::median;

/// The machine, in a few words.
pub(crate) fn description() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores")
}

/// A moment, to be compared with a later one.
#[derive(Debug, Clone)]
pub(crate) struct Moment {
    fsync_ms: f64,
    load: String,
    /// All of the processors' time, and of it what the host took away, in ticks.
    time: (u64, u64),
}

impl Moment {
    /// Measures the disk beside Postgres' data, and reads what the system counts.
    pub(crate) fn now(folder: &Path) -> Result<Self> {
        Ok(Self {
            fsync_ms: fsync_ms(folder)?,
            load: fs::read_to_string("/proc/loadavg")
                .ok()
                .and_then(|text| text.split(' ').next().map(str::to_owned))
                .unwrap_or_else(|| "?".into()),
            time: processor_time(&fs::read_to_string("/proc/stat").unwrap_or_default()),
        })
    }
}

/// What the machine was like between two moments.
#[derive(Debug)]
pub(crate) struct Noise<'a>(pub(crate) &'a Moment, pub(crate) &'a Moment);

impl fmt::Display for Noise<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(before, after) = self;
        let total = after.time.0.saturating_sub(before.time.0).max(1);
        let stolen = after.time.1.saturating_sub(before.time.1);
        write!(
            formatter,
            "fsync {:.2} → {:.2} ms, load {} → {}, stolen {} %",
            before.fsync_ms,
            after.fsync_ms,
            before.load,
            after.load,
            stolen * 100 / total
        )
    }
}

/// The median time of a small write that waits for the disk, as a commit does.
fn fsync_ms(folder: &Path) -> Result<f64> {
    let path = folder.join("fsync-probe");
    let mut file = File::create(&path)?;
    let mut times = Vec::new();
    for _ in 0..25 {
        let start = Instant::now();
        file.write_all(&[0; 8192])?;
        file.sync_data()?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    drop(file);
    fs::remove_file(path)?;
    Ok(median(&mut times))
}

/// Total and stolen time of the line `cpu` of /proc/stat (proc(5)); zeros where there is none.
fn processor_time(stat: &str) -> (u64, u64) {
    let ticks: Vec<u64> = stat
        .lines()
        .find_map(|line| line.strip_prefix("cpu "))
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect();
    // The guests' time, after the eighth, is counted in the first two already.
    (
        ticks.iter().take(8).sum(),
        ticks.get(7).copied().unwrap_or(0),
    )
}
