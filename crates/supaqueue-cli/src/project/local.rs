//! The local Supabase stack, which serves the functions in the user's `supabase` folder.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use super::atomic_file::write_private;
use super::hosted::SECRET;
use super::supabase_cli::SupabaseCli;
use super::supabase_dir::SupabaseDir;
use crate::command_line::CommandLine;
use crate::user_error::user_error;

/// A running local stack.
pub(crate) struct Local {
    pub(crate) supabase_dir: SupabaseDir,
    pub(crate) db_url: String,
    /// The gateway's URL on this machine. The database reaches it at [`GATEWAY_URL`].
    pub(crate) api_url: String,
}

/// The gateway's URL inside the stack's network.
pub(crate) const GATEWAY_URL: &str = "http://kong:8000";

/// What is wrong with this policy of the edge runtime.
pub(crate) const ONESHOT: &str = "the policy \"oneshot\" ends the supaqueue function with its response, before the jobs that it accepted are done";

/// What to do about [`ONESHOT`].
pub(crate) const PER_WORKER: &str = "Set policy = \"per_worker\" under [edge_runtime] there, and restart the stack: `supabase stop` and `supabase start`.";

impl Local {
    /// Reads `supabase status`.
    pub(crate) async fn read(cli: &SupabaseCli, supabase_dir: SupabaseDir) -> Result<Self> {
        let status = cli
            .json_in(supabase_dir.parent(), &["status"], None)
            .await
            .map_err(|error| {
                user_error(
                    format!("the local stack is not running: {error}"),
                    "Run `supabase start` and run this again.",
                )
            })?;
        let missing = || {
            user_error(
                "`supabase status` does not print the database's URL",
                "Start the whole stack with `supabase start` and run this again.",
            )
        };
        Ok(Self {
            supabase_dir,
            db_url: find(&status, "DB_URL").ok_or_else(missing)?,
            api_url: find(&status, "API_URL").unwrap_or_else(|| "http://127.0.0.1:54321".into()),
        })
    }

    fn secret_file(&self) -> PathBuf {
        secret_file(&self.supabase_dir)
    }

    /// The secret in the file.
    pub(crate) fn secret(&self) -> Option<String> {
        secret(&self.supabase_dir)
    }

    /// Writes our secret to the file.
    pub(crate) fn set_secret(&self, value: &str) -> Result<()> {
        write_private(
            &self.secret_file(),
            format!("{SECRET}=\"{value}\"\n").as_bytes(),
        )
    }

    /// The command that serves the functions with the secret.
    pub(crate) fn serve(&self) -> CommandLine {
        let file = self.secret_file();
        let here = std::env::current_dir().unwrap_or_default();
        let file = file.strip_prefix(here).unwrap_or(&file);
        let serve = self.supabase_dir.supabase("functions serve");
        serve.option("--env-file", Some(file))
    }

    /// Removes the file. Returns whether it existed.
    pub(crate) fn unset_secret(&self) -> Result<bool> {
        match std::fs::remove_file(self.secret_file()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            removed => removed
                .map(|()| true)
                .with_context(|| format!("cannot remove {}", self.secret_file().display())),
        }
    }
}

/// The file that gives the local functions our secret. `supabase init` keeps its folder out of git.
pub(crate) fn secret_file(supabase_dir: &SupabaseDir) -> PathBuf {
    supabase_dir.path().join(".temp").join("supaqueue.env")
}

/// The secret in the file.
pub(crate) fn secret(supabase_dir: &SupabaseDir) -> Option<String> {
    let text = std::fs::read_to_string(secret_file(supabase_dir)).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(SECRET)?.strip_prefix('='))?;
    Some(line.trim_matches('"').to_owned())
}

/// Finds a value by name at any depth: versions of the CLI nest the status differently.
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
    fn a_url_is_found_at_any_depth_of_the_status() {
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
