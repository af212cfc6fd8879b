//! Temporary folders that do not outlive their owner, even when the owner is killed with `kill -9`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Mutex;

use crate::process::{User, shell, spawn};
use crate::{Error, Result, lock};

/// A temporary folder that is removed when this is dropped or the program dies.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Removes the folder when its standard input closes.
    remover: Mutex<Option<Child>>,
}

impl Folder {
    /// Creates a folder that belongs to `user`.
    pub(crate) fn create(user: Option<User>) -> Result<Self> {
        let default = std::env::temp_dir();
        // Another user may have no access to our TMPDIR.
        for parent in [default.as_path(), Path::new("/tmp")] {
            let mut script = shell(include_str!("folder.sh"), "supaqueue-folder");
            script.arg(parent).stdout(Stdio::piped());
            let mut child = spawn(script.stderr(Stdio::null()), user, "mktemp")?;
            let mut path = String::new();
            if let Some(stdout) = child.stdout.take() {
                BufReader::new(stdout)
                    .read_line(&mut path)
                    .map_err(Error::file("cannot create a folder in", parent))?;
            }
            let path = path.trim_end();
            if !path.is_empty() {
                return Ok(Self {
                    path: path.into(),
                    remover: Mutex::new(Some(child)),
                });
            }
        }
        Err(Error::Invalid(format!(
            "cannot create a folder in {}; set TMPDIR to a folder that every user can write to",
            default.display()
        )))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folder and waits until it is gone.
    pub(crate) async fn remove(&self) {
        let remover = lock(&self.remover).take();
        if let Some(mut remover) = remover {
            // Fails only when the runtime is shutting down.
            let _ = tokio::task::spawn_blocking(move || {
                drop(remover.stdin.take());
                remover.wait()
            })
            .await;
        }
    }
}
