//! Runs the Supabase CLI, versions 2 and 3: the one on PATH, else the one that npm installed in the
//! user's project, else `npx supabase`. On Windows, `which` finds the `.exe` or `.cmd` through
//! PATHEXT.

mod error;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use semver::Version;
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::private_files::PrivateTempDir;
use crate::user_error::user_error;

/// The oldest version that is tested.
pub(crate) const OLDEST_TESTED: Version = Version::new(2, 122, 0);

/// The Supabase CLI of this machine.
#[derive(Debug, Clone)]
pub(crate) struct SupabaseCli {
    program: PathBuf,
    /// What comes before the CLI's own arguments.
    prefix: Vec<OsString>,
    pub(crate) version: Version,
    limit: Duration,
}

impl SupabaseCli {
    /// Finds the CLI and reads its version. `limit` is the time limit of each call, `workdir` the
    /// user's folder if it is not the current one.
    pub(crate) async fn find(limit: Duration, workdir: Option<&Path>) -> Result<Self> {
        let found = which::which("supabase").or_else(|_| installed_by_npm(workdir));
        let (program, prefix) = match (found, which::which("npx")) {
            (Ok(program), _) => (program, Vec::new()),
            (_, Ok(npx)) => (npx, vec!["--yes".into(), "supabase".into()]),
            _ => {
                return Err(user_error(
                    "the Supabase CLI is not installed: neither `supabase` nor `npx` is on PATH",
                    "Install it (https://supabase.com/docs/guides/local-development/cli/getting-started) and run this again.",
                ));
            }
        };
        let mut cli = Self {
            program,
            prefix,
            version: Version::new(0, 0, 0),
            limit,
        };
        // `npx` searches the current folder for what it runs, so this one is empty too.
        let dir = PrivateTempDir::create()?;
        let output = cli.run(dir.path(), &["--version"], None).await?;
        let text = String::from_utf8_lossy(&output.stdout);
        cli.version = parse_version(&text).ok_or_else(|| {
            user_error(
                format!(
                    "`supabase --version` did not print a version: {}",
                    error::reason(&output)
                ),
                format!(
                    "Check that {} is the Supabase CLI, and reinstall it if necessary.",
                    cli.program.display()
                ),
            )
        })?;
        match cli.version.major {
            0 | 1 => Err(user_error(
                format!("the Supabase CLI {} is too old", cli.version),
                "Update it to version 2 or 3: https://supabase.com/docs/guides/local-development/cli/getting-started",
            )),
            _ => Ok(cli),
        }
    }

    /// The option that selects a project. Version 3 introduces a new one and will drop the old one.
    pub(crate) fn project_option(&self, reference: &str) -> Vec<String> {
        match self.version.major {
            2 => vec!["--project-ref".into(), reference.into()],
            _ => vec![format!("--remote={reference}")],
        }
    }

    /// Runs a command that prints JSON, in an empty folder, so that no settings of the user's
    /// project change its behavior.
    pub(crate) async fn json(&self, arguments: &[impl AsRef<OsStr>]) -> Result<Value> {
        let dir = PrivateTempDir::create()?;
        self.json_in(dir.path(), arguments, None).await
    }

    /// Runs a command that prints JSON, with `input` as its stdin.
    pub(crate) async fn json_in(
        &self,
        dir: &Path,
        arguments: &[impl AsRef<OsStr>],
        input: Option<&str>,
    ) -> Result<Value> {
        let options = [
            "--output-format",
            "json",
            "--agent",
            "no",
            "--yes",
            "--workdir",
        ];
        let all: Vec<&OsStr> = arguments
            .iter()
            .map(AsRef::as_ref)
            .chain(options.map(OsStr::new))
            .chain([dir.as_os_str()])
            .collect();
        let output = self.run(dir, &all, input).await?;
        let result = error::json(&output.stdout);
        let error = result.as_ref().and_then(|result| result.get("error"));
        match &result {
            Some(result) if output.status.success() && error.is_none() => Ok(result.clone()),
            _ => Err(error::explain(&display_name(arguments), &output, error)),
        }
    }

    async fn run(
        &self,
        dir: &Path,
        arguments: &[impl AsRef<OsStr>],
        input: Option<&str>,
    ) -> Result<Output> {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.prefix).args(arguments);
        command.env("NO_COLOR", "1");
        if self.version.major == 2 {
            // Version 2 creates a login role for `db query` and then does not use it, as the query
            // goes through the Management API. It creates none if there is a password.
            command.env("SUPABASE_DB_PASSWORD", "not-used");
        }
        command.current_dir(dir);
        command.stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        });
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        #[cfg(unix)]
        command.process_group(0);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", self.program.display()))?;
        let group = ProcessGroup(child.id());
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // If the CLI fails before it has read everything, its own error is the useful one.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = tokio::time::timeout(self.limit, child.wait_with_output()).await;
        match output {
            Ok(output) => {
                group.disarm();
                output.with_context(|| format!("cannot run {}", self.program.display()))
            }
            Err(_) => Err(user_error(
                format!(
                    "`{}` did not finish within {} s",
                    display_name(arguments),
                    self.limit.as_secs()
                ),
                "Check the network and https://status.supabase.com, and run this again; --timeout allows more time.",
            )),
        }
    }
}

/// The version in `2.122.1` or `Supabase CLI v2.122.1`.
fn parse_version(text: &str) -> Option<Version> {
    let version = text.split_whitespace().last()?;
    Version::parse(version.trim_start_matches('v')).ok()
}

/// A command's name in messages: its words up to the first option, or that option.
fn display_name(arguments: &[impl AsRef<OsStr>]) -> String {
    let words: Vec<_> = arguments
        .iter()
        .map(|word| word.as_ref().to_string_lossy())
        .collect();
    let count = words
        .iter()
        .position(|word| word.starts_with('-'))
        .unwrap_or(words.len());
    format!(
        "supabase {}",
        words[..count.max(1).min(words.len())].join(" ")
    )
}

/// The CLI as a dependency of the user's project, which is how npm installs it (the package refuses
/// a global installation). `npx` would not find it from another folder.
fn installed_by_npm(workdir: Option<&Path>) -> which::Result<PathBuf> {
    let here =
        std::env::current_dir().map_err(|_| which::Error::CannotGetCurrentDirAndPathListEmpty)?;
    let start = workdir.map_or_else(|| here.clone(), |dir| here.join(dir));
    let bins = start
        .ancestors()
        .map(|dir| dir.join("node_modules").join(".bin"));
    let bins = std::env::join_paths(bins).map_err(|_| which::Error::CannotFindBinaryPath)?;
    which::which_in("supabase", Some(bins), here)
}

/// The processes of one call, killed on drop. npm's `supabase` is a script that starts the actual
/// program, so killing the child alone would leave that running.
struct ProcessGroup(Option<u32>);

impl ProcessGroup {
    /// Keeps the group from being killed once it has exited: its id may be reused.
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        let Some(id) = self.0 else { return };
        #[cfg(unix)]
        if let Ok(id) = i32::try_from(id) {
            use nix::sys::signal::{Signal, killpg};
            let _ = killpg(nix::unistd::Pid::from_raw(id), Signal::SIGKILL);
        }
        #[cfg(windows)]
        let _ = std::process::Command::new("taskkill")
            .args(["/F", "/T", "/PID", &id.to_string()])
            .output();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_last_word() {
        for (text, want) in [
            ("3.1.0\n", Some("3.1.0")),
            ("2.122.1\n", Some("2.122.1")),
            ("Supabase CLI v2.9.6-beta.1", Some("2.9.6-beta.1")),
            ("", None),
            ("command not found", None),
        ] {
            let version = parse_version(text).map(|version| version.to_string());
            assert_eq!(version.as_deref(), want, "{text}");
        }
    }
}
