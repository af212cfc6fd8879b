//! Runs `supaqueue` as a user does, with the Supabase CLI on PATH.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use supaqueue_tests::repository;

/// Which Supabase CLI is on PATH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cli {
    Real(Major),
    /// A program that does what the real one was recorded to do, without its second of start-up.
    Double(Major),
    /// The real version 3, on PATH only as npm's `npx`.
    Npx,
    /// A script whose `status` answers with a file's content: the real one needs Docker.
    Stub,
    /// None, nor `npx`.
    Missing,
}

/// A major version of the CLI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Major {
    Two = 2,
    Three = 3,
}

impl Cli {
    pub(crate) const REAL_2: Self = Self::Real(Major::Two);
    pub(crate) const REAL_3: Self = Self::Real(Major::Three);
    pub(crate) const DOUBLE: Self = Self::Double(Major::Three);

    pub(crate) fn major(self) -> Major {
        match self {
            Self::Real(major) | Self::Double(major) => major,
            Self::Npx | Self::Stub | Self::Missing => Major::Three,
        }
    }
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: i32,
    /// Everything that it wrote.
    pub(crate) text: String,
}

impl Run {
    /// Panics with its output unless it ended with this status.
    #[track_caller]
    pub(crate) fn assert_status(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Panics with its output unless a line contains all of these words.
    #[track_caller]
    pub(crate) fn assert_says(&self, words: &[&str]) -> &Self {
        let mut lines = self.text.lines();
        let is_said = lines.any(|line| words.iter().all(|word| line.contains(word)));
        assert!(is_said, "no line says {words:?}:\n{}", self.text);
        self
    }
}

/// The environment of the program, separate from that of the test.
pub(crate) struct Environment {
    pub(crate) home: PathBuf,
    pub(crate) profile: PathBuf,
    pub(crate) folder: PathBuf,
}

impl Environment {
    /// Creates one below a folder, for a Management API.
    pub(crate) fn new(folder: &Path, api: &str) -> Self {
        let environment = Self {
            home: folder.join("home"),
            profile: folder.join("profile.yaml"),
            folder: folder.join("work"),
        };
        for folder in [&environment.home, &environment.folder] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let profile = format!(
            "name: test\napi_url: {api}\ndashboard_url: {api}\nproject_host: supabase.test\n"
        );
        std::fs::write(&environment.profile, profile).unwrap();
        environment
    }
}

/// The access token that the Management API knows.
pub(crate) const TOKEN: &str = "sbp_00112233445566778899aabbccddeeff00112233";

/// The program with the arguments of a command line, in its environment.
pub(crate) fn command(environment: &Environment, cli: Cli, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_supaqueue"));
    set_up(&mut command, environment, cli);
    command.args(line.split_whitespace()).stdin(Stdio::null());
    command
}

/// The CLI, in the environment that the program runs it in.
pub(crate) fn supabase(environment: &Environment, cli: Cli) -> Command {
    let mut command = Command::new(path(&environment.home, cli).join("supabase"));
    set_up(&mut command, environment, cli);
    command.env("NO_COLOR", "1").stdin(Stdio::piped());
    if cli.major() == Major::Two {
        command.env("SUPABASE_DB_PASSWORD", "not-used");
    }
    command
}

/// Gives a command the environment, and nothing else of this machine.
pub(crate) fn set_up(command: &mut Command, environment: &Environment, cli: Cli) {
    command
        .current_dir(&environment.folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .env_clear()
        .env("PATH", path(&environment.home, cli))
        .env("HOME", &environment.home)
        .env("TMPDIR", &environment.home)
        .env("SUPABASE_PROFILE", &environment.profile)
        .env("SUPABASE_ACCESS_TOKEN", TOKEN)
        .env("SUPAQUEUE_DOUBLE", (cli.major() as u32).to_string())
        // The CLI runs on Bun, whose optimizing compiler takes a quarter of the CPU time of a
        // program that ends within a second.
        .env("BUN_JSC_useDFGJIT", "0");
}

/// Runs the program to its end.
pub(crate) fn run(command: &mut Command) -> Run {
    ended(&command.output().expect("the program starts"))
}

/// Checks that no secret is shown.
pub(crate) fn ended(output: &Output) -> Run {
    let output_of = String::from_utf8_lossy;
    let text = format!("{}{}", output_of(&output.stdout), output_of(&output.stderr));
    for secret in ["whsec_", "sbp_", "eyJ", "sb_secret_"] {
        let mut rests = text.split(secret).skip(1);
        let is_shown = rests.any(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()));
        assert!(!is_shown, "a secret is shown:\n{text}");
    }
    Run {
        status: output.status.code().unwrap_or(-1),
        text,
    }
}

/// Returns a folder for PATH with the CLI and what it needs, and nothing else of this machine.
pub(crate) fn path(home: &Path, cli: Cli) -> PathBuf {
    let folder = home.join(format!("bin-{cli:?}"));
    if folder.is_dir() {
        return folder;
    }
    std::fs::create_dir_all(&folder).unwrap();
    let link = |target: &Path, name: &str| {
        assert!(
            target.exists(),
            "{} is missing: run ./scripts/setup",
            target.display()
        );
        std::os::unix::fs::symlink(target, folder.join(name)).unwrap();
    };
    match cli {
        Cli::Real(major) => link(&real(major), "supabase"),
        Cli::Double(_) => link(&double(), "supabase"),
        Cli::Npx => link(&on_path("npx"), "npx"),
        Cli::Stub => {
            let script = folder.join("supabase");
            std::fs::write(&script, STUB).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&script, mode).unwrap();
        }
        Cli::Missing => {}
    }
    for name in ["env", "sh", "rm", "sleep", "node"] {
        link(&on_path(name), name);
    }
    folder
}

/// The real CLI, as npm installed it.
pub(crate) fn real(major: Major) -> PathBuf {
    let cli = match major {
        Major::Two => "scripts/node_modules/supabase-2/dist/supabase.js",
        Major::Three => "scripts/node_modules/supabase/dist/supabase.js",
    };
    repository().join(cli)
}

/// Cargo builds examples beside the tests, unless it is told to build one test only.
pub(crate) fn double() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let double = test.with_file_name("../examples/supabase-double");
    assert!(
        double.exists(),
        "{} is missing: run cargo build --package supaqueue-cli --example supabase-double",
        double.display()
    );
    double
}

/// Answers as version 3.1.0 does with a local stack; a file in HOME has the answer to `status`.
const STUB: &str = r#"#!/bin/sh
case "$1" in
  --version) echo 3.1.0 ;;
  status) while read -r line; do echo "$line"; done < "$HOME/status.json" ;;
  *) echo "unexpected: $*" >&2; exit 1 ;;
esac
"#;

fn on_path(name: &str) -> PathBuf {
    which::which(name).unwrap_or_else(|_| panic!("{name} is not on PATH"))
}
