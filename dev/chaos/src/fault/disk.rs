//! A full disk.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Injection;
use crate::Result;

/// The environment variable that names a folder on a small disk, the only one that is ever filled.
pub const DISK: &str = "SUPAQUEUE_CHAOS_DISK";
/// A file of this size means that the disk is not the small one after all.
const TOO_LARGE: usize = 1 << 30;

impl Injection<'_> {
    /// Keeps the disk with Postgres' data full for a while, then frees it and restarts Postgres if
    /// that has shut down, as an operator would.
    pub(super) async fn fill_disk(&mut self) -> Result<()> {
        let disk = std::env::var_os(DISK).map(PathBuf::from);
        let folder = self.scene.data_folder().and_then(|folder| folder.parent());
        let Some(disk) = disk.filter(|disk| folder == Some(disk)) else {
            return Err("Postgres' data is not on a disk that may be filled".into());
        };
        let ballast = disk.join("ballast");
        let mut file = File::create(&ballast)?;
        let end = Instant::now() + self.time;
        while Instant::now() < end {
            // Repeated, to also take what Postgres frees.
            fill(&mut file)?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(file);
        std::fs::remove_file(&ballast)?;
        let is_down = self.scene.stack.database().connect().await.is_err();
        if is_down {
            self.scene.stack.restart_postgres(true).await?;
        }
        let disk_full = self.scene.ledger.take_disk_full();
        println!("  {disk_full} inserts failed on the full disk; Postgres shut down: {is_down}");
        self.check(disk_full > 0 || is_down, "nothing hit the full disk");
        Ok(())
    }
}

/// Writes until the disk is full.
fn fill(file: &mut File) -> Result<()> {
    let mut chunk = vec![0; 1 << 20];
    let mut written = 0;
    while written < TOO_LARGE {
        match file.write(&chunk) {
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == ErrorKind::StorageFull && chunk.len() > 4096 => {
                chunk.truncate(chunk.len() / 2);
            }
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Err("the disk to fill is too large".into())
}
