//! A disk without room.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::Scope;
use crate::{Result, Rule, Violation};

/// Names the folder that is a small disk of its own: nothing else is ever filled.
pub const DISK: &str = "SUPAQUEUE_CHAOS_DISK";
/// More than the disk can hold.
const TOO_MUCH: usize = 1 << 30;

impl Scope<'_> {
    /// Fills the disk that holds Postgres' data, keeps it full, and makes room again. Then Postgres
    /// is started again if it has given up, as its owner would.
    pub(super) async fn fill_disk(&mut self) -> Result<Vec<Violation>> {
        let disk = std::env::var_os(DISK).map(PathBuf::from);
        let folder = self.scene.data_folder().and_then(|folder| folder.parent());
        let Some(disk) = disk.filter(|disk| folder == Some(disk)) else {
            return Err("Postgres' data is not on a disk that may be filled".into());
        };
        let ballast = disk.join("ballast");
        let mut file = File::create(&ballast)?;
        let end = Instant::now() + self.time;
        while Instant::now() < end {
            // What Postgres lets go of is taken, too.
            fill(&mut file)?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        drop(file);
        std::fs::remove_file(&ballast)?;
        let has_given_up = self.scene.stack.database().connect().await.is_err();
        if has_given_up {
            self.scene.stack.restart_postgres(true).await?;
        }
        let without_room = self.scene.ledger.take_without_room();
        println!("  {without_room} inserts found no room; Postgres gave up: {has_given_up}");
        if without_room > 0 || has_given_up {
            return Ok(Vec::new());
        }
        let what = "nothing met a full disk";
        Ok(vec![Violation::new(Rule::AsExpected, what)])
    }
}

/// Writes until there is no room.
fn fill(file: &mut File) -> Result<()> {
    let mut part = vec![0; 1 << 20];
    let mut written = 0;
    while written < TOO_MUCH {
        match file.write(&part) {
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == ErrorKind::StorageFull && part.len() > 4096 => {
                part.truncate(part.len() / 2);
            }
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Err("the disk that was to be filled is too large".into())
}
