//! The process of a queue from npm.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use xtask::repository::{Deno, Repository, output};

use super::target::Target;
use crate::Result;
use crate::project::Project;

/// A running script of `dev/bench/peers`. It also ends with this program.
pub(super) struct Worker(Child);

impl Worker {
    /// Starts a worker with at most `places` calls in flight, and waits until it waits for jobs.
    pub(super) async fn start(
        script: &[&str],
        project: &Project,
        target: &Target,
        places: u32,
    ) -> Result<Self> {
        let repository = Repository::find()?;
        let mut command = Command::from(repository.deno_command(Deno::Newest));
        let mut process = command
            .current_dir(repository.path("dev/bench/peers"))
            .args(["run", "--quiet", "--no-check", "--allow-all"])
            .args(script)
            .env("DATABASE_URL", project.stack.db_url())
            .env("TARGET_URL", &target.url)
            .env("TARGET_KEY", &target.key)
            .env("PLACES", places.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = process.stdout.take().ok_or("the worker has no output")?;
        let mut lines = BufReader::new(output).lines();
        while let Some(line) = lines.next_line().await? {
            if line == "ready" {
                // From now on the output is read only so that the worker can go on writing.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Ok(Self(process));
            }
        }
        Err("the worker ended before it was ready; its errors are above".into())
    }

    pub(super) async fn stop(mut self) -> Result<()> {
        Ok(self.0.kill().await?)
    }
}

/// The versions of the queues from npm, and of the Deno that runs them.
pub(super) fn versions() -> Result<Vec<String>> {
    let repository = Repository::find()?;
    let manifest = std::fs::read(repository.path("dev/bench/peers/package.json"))?;
    let manifest: serde_json::Value = serde_json::from_slice(&manifest)?;
    let packages = manifest["dependencies"].as_object().into_iter().flatten();
    let mut versions: Vec<String> = packages
        .map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or_default()))
        .collect();
    let deno = output(repository.deno_command(Deno::Newest).arg("--version"))?;
    let words: Vec<&str> = deno.split_whitespace().take(2).collect();
    versions.push(format!("in {}", words.join(" ")));
    Ok(versions)
}
