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
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::private_temp_dir::PrivateTempDir;
use crate::user_error::user_error;

/// The oldest version that is tested.
pub(crate) const OLDEST_TESTED: Version = Version::new(2, 122, 0);

/// The newest version that is tested, which `npx` runs where none is installed.
const NEWEST_TESTED: Version = Version::new(3, 1, 0);

/// The Supabase CLI of this machine.
#[derive(Debug, Clone)]
pub(crate) struct SupabaseCli {
    program: PathBuf,
    /// What comes before the CLI's own arguments.
    prefix: Vec<OsString>,
    pub(crate) version: Version,
    pub(super) limit: Duration,
}

impl SupabaseCli {
    /// Finds the CLI and reads its version. `limit` is the time limit of each call, `workdir` the
    /// user's folder if it is not the current one.
    pub(crate) async fn find(limit: Duration, workdir: Option<&Path>) -> Result<Self> {
        let found = which::which("supabase").or_else(|_| installed_by_npm(workdir));
        let (program, prefix) = match (found, which::which("npx")) {
            (Ok(program), _) => (program, Vec::new()),
            (_, Ok(npx)) => {
                let package = format!("supabase@{NEWEST_TESTED}");
                (npx, vec!["--yes".into(), package.into()])
            }
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
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = tokio::time::timeout(self.limit, output(&mut command, input)).await;
        match output {
            Ok(output) => output.with_context(|| format!("cannot run {}", self.program.display())),
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

/// Runs a program to its end. All that it started ends, too, if this is dropped before.
async fn output(
    command: &mut tokio::process::Command,
    input: Option<&str>,
) -> std::io::Result<Output> {
    #[cfg(unix)]
    command.process_group(0);
    let mut group = ProcessGroup(command.kill_on_drop(true).spawn()?);
    let child = &mut group.0;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    // At once: a program may wait for its output to be read before it reads its input.
    let write = async {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // If it fails before it has read everything, its own error is the useful one.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
    };
    let ((), stdout, stderr) = tokio::join!(write, read(stdout), read(stderr));
    let (stdout, stderr) = (stdout?, stderr?);
    // Last: see `ProcessGroup`.
    let status = child.wait().await?;
    Ok(Output {
        status,
        stdout,
        stderr,
    })
}

async fn read(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut bytes).await?;
    }
    Ok(bytes)
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
///
/// The group has the child's id. No other process can get that id before the child was waited for,
/// and from then on the child has none.
struct ProcessGroup(tokio::process::Child);

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        let Some(id) = self.0.id() else { return };
        #[cfg(unix)]
        {
            use nix::sys::signal::{Signal, killpg};
            let _ = killpg(
                nix::unistd::Pid::from_raw(id.cast_signed()),
                Signal::SIGKILL,
            );
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

    /// A program that gets more input than fits into a pipe, and hangs.
    #[cfg(unix)]
    #[tokio::test]
    async fn the_timeout_holds_wherever_the_program_hangs_and_ends_what_it_started() {
        for (what, script) in [
            ("before it reads its input", "sleep 600 & sleep 600"),
            ("after it read its input", "cat >&3; sleep 600 & sleep 600"),
            ("with its output open after its end", "cat >&3; sleep 600 &"),
            ("with its output closed", "exec >&- 2>&-; sleep 600"),
            (
                "in the middle of its output",
                "echo '{'; cat >&3; sleep 600",
            ),
        ] {
            let dir = PrivateTempDir::create().unwrap();
            let pipe = dir.path().join("pipe");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status();
            assert!(made.unwrap().success());
            // Reading ends when every process that has it open has ended.
            let reader = std::thread::spawn({
                let pipe = pipe.clone();
                move || std::fs::read(pipe).unwrap().len()
            });
            let cli = SupabaseCli {
                program: "/bin/sh".into(),
                prefix: vec![
                    "-c".into(),
                    format!("exec 3>pipe; {script}").into(),
                    "supabase".into(),
                ],
                version: NEWEST_TESTED,
                limit: Duration::from_millis(500),
            };
            let input = "x".repeat(1_000_000);
            let ended = cli.json_in(dir.path(), &["db", "query"], Some(&input));
            let ended = tokio::time::timeout(Duration::from_secs(20), ended).await;
            let error = ended.expect(what).expect_err(what).to_string();
            assert!(
                error.contains("`supabase db query` did not finish"),
                "{what}: {error}"
            );
            let copied = reader.join().unwrap();
            let is_read = script.contains("cat");
            assert_eq!(copied, if is_read { input.len() } else { 0 }, "{what}");
        }
    }
}
