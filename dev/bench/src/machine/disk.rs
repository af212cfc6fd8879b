//! The time for which a commit waits for the disk.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use crate::Result;
use crate::numbers::median;

/// The median time, in milliseconds, of a small synchronous write in a folder, as a commit does.
pub(crate) fn fsync_ms(folder: &Path) -> Result<f64> {
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
