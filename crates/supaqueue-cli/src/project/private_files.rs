//! Files that only their owner can read, and a temporary folder for those that the Supabase CLI reads.

use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

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

/// Writes a file that only its owner can read, and creates its parent folders.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    use std::io::Write;
    let context = || format!("cannot write {}", path.display());
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(context)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(content))
        .with_context(context)
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
