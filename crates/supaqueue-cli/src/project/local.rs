//! The local Supabase stack, which serves the functions in the user's own folder.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use super::cli::SupabaseCli;
use super::hosted::SECRET;
use super::temporary::write_private;
use super::working_folder::WorkingFolder;
use crate::problem::Problem;

/// A running local stack.
pub(crate) struct Local {
    pub(crate) folder: WorkingFolder,
    pub(crate) db_url: String,
    /// The gateway's address for this machine; the database has another one for it.
    pub(crate) api_url: String,
}

/// The gateway's address inside the stack's network.
pub(crate) const ADDRESS: &str = "http://kong:8000";

impl Local {
    /// Reads `supabase status`.
    pub(crate) async fn read(cli: &SupabaseCli, folder: WorkingFolder) -> Result<Self> {
        let status = cli
            .json(&["status"], folder.parent(), None)
            .await
            .map_err(|error| {
                Problem::error(
                    format!("the local stack is not up: {error}"),
                    "Start it with `supabase start`, then run this again.",
                )
            })?;
        let text = |names: [&str; 2]| {
            names
                .iter()
                .find_map(|name| status.get(name))
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let missing = || {
            Problem::error(
                "`supabase status` does not tell the database's address",
                "Start all of the stack with `supabase start`, then run this again.",
            )
        };
        Ok(Self {
            folder,
            db_url: text(["DB_URL", "db_url"]).ok_or_else(missing)?,
            api_url: text(["API_URL", "api_url"])
                .unwrap_or_else(|| "http://127.0.0.1:54321".into()),
        })
    }

    /// The file from which the local functions get our secret.
    pub(crate) fn secret_file(&self) -> PathBuf {
        self.folder.path().join(".temp").join("supaqueue.env")
    }

    /// What the file holds.
    pub(crate) fn secret(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.secret_file()).ok()?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(SECRET)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    }

    /// Writes our secret to it. The folder is one that `supabase init` keeps out of git.
    pub(crate) fn set_secret(&self, value: &str) -> Result<()> {
        write_private(
            &self.secret_file(),
            format!("{SECRET}=\"{value}\"\n").as_bytes(),
        )
    }

    /// Removes the file. False when there was none.
    pub(crate) fn unset_secret(&self) -> Result<bool> {
        match std::fs::remove_file(self.secret_file()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            removed => removed
                .map(|()| true)
                .with_context(|| format!("cannot remove {}", self.secret_file().display())),
        }
    }
}
