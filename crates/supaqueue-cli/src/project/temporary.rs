//! A folder for what the Supabase CLI reads from files, which goes however the program ends.

use std::path::Path;

use anyhow::{Context, Result};
use tempfile::TempDir;

/// A folder that only its owner can read. It may hold secrets: a guard outside this process
/// removes it where no destructor runs, after `kill -9`.
pub(crate) struct TemporaryFolder {
    folder: TempDir,
    #[cfg(unix)]
    guard: Option<std::process::Child>,
}

impl TemporaryFolder {
    /// Makes one.
    pub(crate) fn create() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("supaqueue-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        Ok(Self {
            #[cfg(unix)]
            guard: guard(folder.path()).ok(),
            folder,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file that only its owner can read.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        write_private(&self.path().join(name), content)
    }
}

/// Writes a file that only its owner can read, with the folders it lies in.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    use std::io::Write;
    let doing = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(doing)?;
    }
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .and_then(|mut file| file.write_all(content))
        .with_context(doing)
}

/// Waits on a pipe that the kernel closes when we are gone, then removes the folder: at once, for
/// what it holds, and again while a CLI that we left behind may still write into it. In a process
/// group of its own, so that Ctrl-C reaches us alone.
#[cfg(unix)]
fn guard(folder: &Path) -> std::io::Result<std::process::Child> {
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
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

#[cfg(unix)]
impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // Before the guard goes; what is left to the field is to find nothing.
        let _ = std::fs::remove_dir_all(self.path());
        if let Some(guard) = &mut self.guard {
            let _ = guard.kill();
            let _ = guard.wait();
        }
    }
}
