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
        let missing = || {
            Problem::error(
                "`supabase status` does not tell the database's address",
                "Start all of the stack with `supabase start`, then run this again.",
            )
        };
        Ok(Self {
            folder,
            db_url: find(&status, "DB_URL").ok_or_else(missing)?,
            api_url: find(&status, "API_URL").unwrap_or_else(|| "http://127.0.0.1:54321".into()),
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

/// The value of a name, in whatever object the status has it: that differs between versions of the CLI.
fn find(status: &Value, name: &str) -> Option<String> {
    let object = status.as_object()?;
    let here = object
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .and_then(|(_, value)| value.as_str());
    here.map(str::to_owned)
        .or_else(|| object.values().find_map(|value| find(value, name)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_is_found_wherever_the_status_has_it() {
        for status in [
            json!({"API_URL": "http://a", "DB_URL": "postgresql://b"}),
            json!({"message": "", "status": {"api_url": "http://a", "db_url": "postgresql://b"}}),
        ] {
            assert_eq!(find(&status, "DB_URL").as_deref(), Some("postgresql://b"));
            assert_eq!(find(&status, "API_URL").as_deref(), Some("http://a"));
        }
        assert_eq!(find(&json!({"linked_project": null}), "DB_URL"), None);
    }
}
