//! Runs the program `supaqueue` as a user does: with the Supabase CLI on PATH.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use supaqueue_tests::repository;
use tokio::process::Command;

/// Which Supabase CLI is on PATH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cli {
    /// Version 2.
    Two,
    /// Version 3.
    Three,
    /// Version 3, on PATH only as npm's `npx`.
    Npx,
    /// A stand-in, whose `status` tells of a local stack: the real one needs Docker.
    StandIn,
    /// None, nor `npx`.
    Missing,
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: i32,
    /// All that it wrote.
    pub(crate) text: String,
}

impl Run {
    /// Panics with what it wrote unless it ended well.
    pub(crate) fn assert_ok(&self) -> &Self {
        assert_eq!(self.status, 0, "{}", self.text);
        self
    }

    /// Panics with what it wrote unless it failed.
    pub(crate) fn assert_failed(&self) -> &Self {
        assert_eq!(self.status, 1, "{}", self.text);
        self
    }

    /// Panics with what it wrote unless a line has all of these.
    pub(crate) fn assert_says(&self, words: &[&str]) -> &Self {
        let is_said = self
            .text
            .lines()
            .any(|line| words.iter().all(|word| line.contains(word)));
        assert!(is_said, "no line says {words:?}:\n{}", self.text);
        self
    }
}

/// The environment of the program, apart from that of the test.
pub(crate) struct Environment {
    pub(crate) home: PathBuf,
    pub(crate) profile: PathBuf,
    pub(crate) folder: PathBuf,
}

/// The access token that the Management API knows.
pub(crate) const TOKEN: &str = "sbp_00112233445566778899aabbccddeeff00112233";

/// The program with its arguments, in its environment.
pub(crate) fn command(environment: &Environment, cli: Cli, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_supaqueue"));
    command.args(arguments).current_dir(&environment.folder);
    command
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
        .env("PATH", path(&environment.home, cli))
        .env("HOME", &environment.home)
        .env("TMPDIR", &environment.home);
    command
        .env("SUPABASE_PROFILE", &environment.profile)
        .env("SUPABASE_ACCESS_TOKEN", TOKEN)
        // The CLI runs on Bun, whose optimizing compiler takes a quarter of the processor time of a
        // program that ends within a second, hundreds of times.
        .env("BUN_JSC_useDFGJIT", "0");
    command
}

/// Runs the program to its end.
pub(crate) async fn run(environment: &Environment, cli: Cli, arguments: &[&str]) -> Run {
    let output = command(environment, cli, arguments)
        .output()
        .await
        .expect("the program starts");
    ended(&output)
}

/// How a run ended, from its output.
pub(crate) fn ended(output: &Output) -> Run {
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    for secret in ["whsec_", "sbp_", "eyJ", "sb_secret_"] {
        let is_shown = text.match_indices(secret).any(|(at, _)| {
            text[at + secret.len()..]
                .chars()
                .next()
                .is_some_and(|c| c.is_ascii_alphanumeric())
        });
        assert!(!is_shown, "a secret is shown:\n{text}");
    }
    Run {
        status: output.status.code().unwrap_or(-1),
        text,
    }
}

/// A folder for PATH with the CLI, and what its script needs. Nothing else of this machine is on it.
pub(crate) fn path(home: &Path, cli: Cli) -> PathBuf {
    let folder = home.join(format!("bin-{cli:?}"));
    if folder.is_dir() {
        return folder;
    }
    std::fs::create_dir_all(&folder).unwrap();
    let modules = repository().join("scripts/node_modules");
    let link = |target: &Path, name: &str| {
        assert!(
            target.exists(),
            "{} is missing: run ./scripts/setup",
            target.display()
        );
        std::os::unix::fs::symlink(target, folder.join(name)).unwrap();
    };
    match cli {
        Cli::Two => link(&modules.join("supabase-2/dist/supabase.js"), "supabase"),
        Cli::Three => link(&modules.join("supabase/dist/supabase.js"), "supabase"),
        Cli::Npx => link(&on_path("npx"), "npx"),
        Cli::StandIn => {
            let script = folder.join("supabase");
            std::fs::write(&script, STAND_IN).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&script, mode).unwrap();
        }
        Cli::Missing => {}
    }
    for name in ["env", "sh", "rm", "sleep"] {
        link(&on_path(name), name);
    }
    link(&on_path("node"), "node");
    folder
}

/// Answers as version 3.1.0 would with a local stack: what `status` says is kept in a file beside it.
const STAND_IN: &str = r#"#!/bin/sh
case "$1" in
  --version) echo 3.1.0 ;;
  status) while read -r line; do echo "$line"; done < "$HOME/status.json" ;;
  *) echo "unexpected: $*" >&2; exit 1 ;;
esac
"#;

fn on_path(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not on PATH"))
}
