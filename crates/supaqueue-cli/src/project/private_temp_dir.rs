//! A temporary folder for files that the Supabase CLI reads.

use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

use super::atomic_file::write_private;

/// A temporary folder that only its owner can read. It may contain secrets, so a guard process
/// removes it where no destructor runs, as after `kill -9`.
pub(crate) struct PrivateTempDir {
    dir: TempDir,
    #[cfg(unix)]
    guard: Option<std::process::Child>,
}

impl PrivateTempDir {
    /// Creates one.
    pub(crate) fn create() -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("supaqueue-")
            .tempdir()
            .context("cannot create a temporary folder")?;
        Ok(Self {
            #[cfg(unix)]
            guard: guard(dir.path()).ok(),
            dir,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a private file into the folder.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        write_private(&self.path().join(name), content)
    }
}

/// Waits on a pipe that the kernel closes when this process dies, then removes the folder: at once,
/// for its secrets, and repeatedly for two minutes, as an orphaned CLI may still write to it. It has
/// its own process group, so that Ctrl-C does not reach it.
#[cfg(unix)]
fn guard(dir: &Path) -> std::io::Result<std::process::Child> {
    use std::os::unix::process::CommandExt;
    use std::process::{Command, Stdio};
    const SCRIPT: &str = r#"
        while read -r _; do :; done
        tries=0
        while rm -rf "$1"; [ "$tries" -lt 120 ]; do
          sleep 1 || exit
          tries=$((tries + 1))
        done"#;
    Command::new("/bin/sh")
        .args(["-c", SCRIPT, "supaqueue-guard"])
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

#[cfg(unix)]
impl Drop for PrivateTempDir {
    fn drop(&mut self) {
        // While the guard is alive. `TempDir` then finds nothing left to remove.
        let _ = std::fs::remove_dir_all(self.path());
        if let Some(guard) = &mut self.guard {
            let _ = guard.kill();
            let _ = guard.wait();
        }
    }
}
