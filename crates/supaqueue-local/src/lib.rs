//! A local, project-like place for Supaqueue: for development, the demo and the tests.
//!
//! It is not a hosted project, and holds no data that matters: what it starts ends with the program
//! that started it, and leaves nothing on disk.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod embedded;
mod error;
mod extension;
mod functions;
mod gateway;
mod install;
mod log;
mod postgres;
mod process;
mod stack;
mod stand_in;

use std::path::{Path, PathBuf};

pub use error::{Error, Result};
pub use extension::{Extensions, Kind as ExtensionKind};
pub use gateway::Keys;
pub use log::LogLine;
pub use postgres::{Database, Postgres, PostgresBuilder, connect};
pub use stack::{PostgresSource, Stack, StackBuilder};
pub use stand_in::StandIns;

/// Looks for `path` in the folder we are in and in those above it, then likewise from the package
/// being run by cargo, and from the program itself.
fn find_upwards(path: &Path) -> Option<PathBuf> {
    let starts = [
        std::env::current_dir().ok(),
        std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from),
        std::env::current_exe().ok(),
    ];
    starts
        .iter()
        .flatten()
        .flat_map(|start| start.ancestors())
        .map(|folder| folder.join(path))
        .find(|found| found.exists())
}

fn random_hex(bytes: usize) -> String {
    (0..bytes)
        .map(|_| format!("{:02x}", rand::random::<u8>()))
        .collect()
}
