//! Runs this program again, with Postgres' data on a small disk.

use std::path::Path;
use std::process::{Command, Stdio};

use supaqueue_chaos::{Fault, Result};

/// A mount point, removed when dropped.
struct MountPoint(std::path::PathBuf);

impl Drop for MountPoint {
    fn drop(&mut self) {
        // The folder is empty: the disk was mounted in another namespace.
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Whether this process already runs on the small disk.
pub(crate) fn is_mounted() -> bool {
    std::env::var_os(supaqueue_chaos::fault::DISK).is_some()
}

/// Injects [`Fault::DiskFull`], or reports why it is skipped. Returns whether no rule was violated.
pub(crate) fn run(options: &[String]) -> Result<bool> {
    let fault = Fault::DiskFull.name();
    let folder = MountPoint(std::env::temp_dir().join(format!("chaos-{}", std::process::id())));
    std::fs::create_dir(&folder.0)?;
    let probe = script(&folder.0, Path::new("true"))
        .stdin(Stdio::null())
        .output()?;
    if !probe.status.success() {
        let reason = String::from_utf8_lossy(&probe.stderr);
        println!(
            "{fault} skipped: it needs a small disk, which this user cannot mount: {}",
            reason.trim()
        );
        return Ok(true);
    }
    let status = script(&folder.0, &std::env::current_exe()?)
        .args(options)
        .args(["--fault", &fault])
        .status()?;
    Ok(status.success())
}

fn script(folder: &Path, program: &Path) -> Command {
    let mut script = Command::new("sh");
    script
        .args(["-c", include_str!("small_disk.sh"), "small-disk"])
        .arg(folder)
        .arg(program);
    script
}
