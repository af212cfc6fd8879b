//! Runs this program once more, with Postgres' data on a small disk of its own.

use std::path::Path;
use std::process::{Command, Stdio};

use supaqueue_chaos::{Fault, Result};

/// A folder that is removed in the end, once nothing is mounted there any more.
struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What is left is empty: the mount was in another namespace.
        let _ = std::fs::remove_dir(&self.0);
    }
}

/// Whether we are that program.
pub(crate) fn is_here() -> bool {
    std::env::var_os(supaqueue_chaos::fault::DISK).is_some()
}

/// Injects [`Fault::DiskFull`], or says why it cannot be done here; whether nothing was wrong.
pub(crate) fn is_good(options: &[String]) -> Result<bool> {
    let folder = Folder(std::env::temp_dir().join(format!("chaos-{}", std::process::id())));
    std::fs::create_dir(&folder.0)?;
    let probe = script(&folder.0, Path::new("true"))
        .stdin(Stdio::null())
        .output()?;
    if !probe.status.success() {
        let reason = String::from_utf8_lossy(&probe.stderr);
        println!(
            "| {} | skipped: it needs a small disk, and this user cannot mount one: {} |",
            Fault::DiskFull.name(),
            reason.trim()
        );
        return Ok(true);
    }
    let status = script(&folder.0, &std::env::current_exe()?)
        .args(options)
        .args(["--fault", &Fault::DiskFull.name()])
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
