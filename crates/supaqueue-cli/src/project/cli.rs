//! Runs the Supabase CLI: the one on PATH, else the one that npm installed in the user's project,
//! else the one that `npx` brings. Majors 2 and 3. On Windows, PATHEXT has it found as `.exe` or `.cmd`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use super::cli_error;
use super::temporary::TemporaryFolder;
use crate::problem::Problem;

/// A version of the CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) patch: u32,
}

impl Version {
    /// The oldest version that is tested.
    pub(crate) const OLDEST_TESTED: Self = Self {
        major: 2,
        minor: 122,
        patch: 0,
    };

    fn parse(text: &str) -> Option<Self> {
        let number = text.split_whitespace().last()?.trim_start_matches('v');
        let mut parts = number.split(['.', '-', '+']).map(|part| part.parse().ok());
        Some(Self {
            major: parts.next()??,
            minor: parts.next()??,
            patch: parts.next().flatten().unwrap_or(0),
        })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The Supabase CLI of this machine.
#[derive(Debug, Clone)]
pub(crate) struct SupabaseCli {
    program: PathBuf,
    first: Vec<OsString>,
    pub(crate) version: Version,
    limit: Duration,
}

impl SupabaseCli {
    /// Finds it and asks for its version. No call of it may take longer than `limit`. `workdir` is
    /// the user's folder, if it is not this one.
    pub(crate) async fn find(limit: Duration, workdir: Option<&Path>) -> Result<Self> {
        let found = which::which("supabase").or_else(|_| installed_by_npm(workdir));
        let (program, first) = match (found, which::which("npx")) {
            (Ok(program), _) => (program, Vec::new()),
            (_, Ok(npx)) => (npx, vec!["--yes".into(), "supabase".into()]),
            _ => {
                return Err(Problem::error(
                    "there is no Supabase CLI here: neither `supabase` nor `npx` is on PATH",
                    "Install it (https://supabase.com/docs/guides/local-development/cli/getting-started), then run this again.",
                ));
            }
        };
        let unknown = Version {
            major: 0,
            minor: 0,
            patch: 0,
        };
        let mut cli = Self {
            program,
            first,
            version: unknown,
            limit,
        };
        // In an empty folder like all that follows: `npx` looks around for what it runs.
        let folder = TemporaryFolder::create()?;
        let output = cli.run(&["--version"], folder.path(), None).await?;
        let text = String::from_utf8_lossy(&output.stdout);
        cli.version = Version::parse(&text).ok_or_else(|| {
            Problem::error(
                format!(
                    "`supabase --version` did not answer with a version: {}",
                    cli_error::last_words(&output)
                ),
                format!(
                    "Check that {} is the Supabase CLI, and reinstall it if need be.",
                    cli.program.display()
                ),
            )
        })?;
        match cli.version.major {
            0 | 1 => Err(Problem::error(
                format!("the Supabase CLI {} is too old", cli.version),
                "Update it to version 2 or 3: https://supabase.com/docs/guides/local-development/cli/getting-started",
            )),
            _ => Ok(cli),
        }
    }

    /// The option that names the project. Version 3 has a new one, and drops the old one later.
    pub(crate) fn project_option(&self, reference: &str) -> Vec<String> {
        match self.version.major {
            2 => vec!["--project-ref".into(), reference.into()],
            _ => vec![format!("--remote={reference}")],
        }
    }

    /// Runs a command that answers in JSON, in an empty folder or the given one, so that no
    /// settings of the user's project change what it does. `input` is written to its stdin.
    pub(crate) async fn json(
        &self,
        arguments: &[impl AsRef<OsStr>],
        folder: &Path,
        input: Option<&str>,
    ) -> Result<Value> {
        let mut all: Vec<OsString> = arguments
            .iter()
            .map(|argument| argument.as_ref().to_owned())
            .collect();
        all.extend(
            [
                "--output-format",
                "json",
                "--agent",
                "no",
                "--yes",
                "--workdir",
            ]
            .map(OsString::from),
        );
        all.push(folder.into());
        let output = self.run(&all, folder, input).await?;
        let answer = cli_error::json(&output.stdout);
        let error = answer.as_ref().and_then(|answer| answer.get("error"));
        match answer.as_ref() {
            Some(answer) if output.status.success() && error.is_none() => Ok(answer.clone()),
            _ => Err(cli_error::explain(&self.name(arguments), &output, error)),
        }
    }

    /// How a command is named in a message: its words up to the first option, or that option.
    fn name(&self, arguments: &[impl AsRef<OsStr>]) -> String {
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

    async fn run(
        &self,
        arguments: &[impl AsRef<OsStr>],
        folder: &Path,
        input: Option<&str>,
    ) -> Result<Output> {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.first).args(arguments);
        command.env("NO_COLOR", "1");
        if self.version.major == 2 {
            // Version 2 makes itself a login role for `db query`, which it then does not use: the
            // query goes through the Management API. Any password keeps it from that.
            command.env("SUPABASE_DB_PASSWORD", "not-used");
        }
        command.current_dir(folder);
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
        // The CLI of npm is a script that starts the program proper: both have to go.
        let group = Group(child.id());
        if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
            // Where the CLI fails before it has read all, its own message is the one to tell.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = tokio::time::timeout(self.limit, child.wait_with_output()).await;
        match output {
            Ok(output) => {
                group.has_ended();
                output.with_context(|| format!("cannot run {}", self.program.display()))
            }
            Err(_) => Err(Problem::error(
                format!(
                    "`{}` did not end within {} s",
                    self.name(arguments),
                    self.limit.as_secs()
                ),
                "Check the network and https://status.supabase.com, then run this again; --timeout allows more time.",
            )),
        }
    }
}

/// The CLI as a dependency of the user's project: npm's way to have it, as the CLI refuses to be
/// installed globally. `npx`, run elsewhere, would not find it.
fn installed_by_npm(workdir: Option<&Path>) -> which::Result<PathBuf> {
    let here =
        std::env::current_dir().map_err(|_| which::Error::CannotGetCurrentDirAndPathListEmpty)?;
    let start = workdir.map_or_else(|| here.clone(), |folder| here.join(folder));
    let folders = start
        .ancestors()
        .map(|folder| folder.join("node_modules").join(".bin"));
    let folders = std::env::join_paths(folders).map_err(|_| which::Error::CannotFindBinaryPath)?;
    which::which_in("supabase", Some(folders), here)
}

/// The processes of one call; killed when dropped.
struct Group(Option<u32>);

impl Group {
    fn has_ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
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
    fn a_version_is_the_last_word() {
        let version = |major, minor, patch| {
            Some(Version {
                major,
                minor,
                patch,
            })
        };
        for (text, want) in [
            ("3.1.0\n", version(3, 1, 0)),
            ("2.122.1\n", version(2, 122, 1)),
            ("Supabase CLI v2.9.6-beta.1", version(2, 9, 6)),
            ("", None),
            ("command not found", None),
        ] {
            assert_eq!(Version::parse(text), want, "{text}");
        }
        assert!(
            Version {
                major: 3,
                minor: 0,
                patch: 0
            } > Version::OLDEST_TESTED
        );
    }
}
