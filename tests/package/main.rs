//! The npm packages, installed in an empty project far from this repository, without a registry.
#![cfg(unix)]
#![allow(clippy::unwrap_used)] // a test that cannot go on must panic

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;
use xtask::npm::pack;
use xtask::repository::Repository;

/// A project with the given tarballs installed.
fn project(tarballs: &[&Path]) -> TempDir {
    let project = tempfile::tempdir().unwrap();
    std::fs::write(project.path().join("package.json"), "{}").unwrap();
    let installed = Command::new("npm")
        .args([
            "install",
            "--offline",
            "--silent",
            "--no-audit",
            "--no-fund",
        ])
        .args(tarballs)
        .current_dir(&project)
        .output()
        .unwrap();
    assert!(installed.status.success(), "{installed:?}");
    project
}

/// `npx supaqueue` in that project.
fn npx(project: &TempDir, arguments: &[&str]) -> Output {
    Command::new("npx")
        .args(["--offline", "supaqueue"])
        .args(arguments)
        .current_dir(project)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn npx_runs_the_program_in_a_project_that_installed_it() {
    let tarballs = tempfile::tempdir().unwrap();
    let repository = Repository::find().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_supaqueue"));
    let [launcher, platform] = pack(&repository, program, tarballs.path()).unwrap();

    let complete = project(&[&launcher, &platform]);
    let version = npx(&complete, &["--version"]);
    assert_eq!(
        text(&version.stdout),
        format!("supaqueue {}\n", env!("CARGO_PKG_VERSION"))
    );
    let dry_run = npx(&complete, &["install", "--dry-run"]);
    assert!(
        text(&dry_run.stdout).contains("0001_supaqueue.sql"),
        "{dry_run:?}"
    );
    assert!(dry_run.status.success());
    let unknown = npx(&complete, &["nonsense"]);
    assert_eq!(
        unknown.status.code(),
        Some(2),
        "the exit status is the program's"
    );

    let unreachable = "postgresql://127.0.0.1:1/x";
    let failed = npx(&complete, &["remove", "--db-url", unreachable]);
    let resume = format!("Resume with: npx supaqueue remove --db-url {unreachable}\n");
    let stderr = text(&failed.stderr);
    assert!(stderr.contains(&resume), "{stderr}");

    let incomplete = project(&[&launcher]);
    let missing = npx(&incomplete, &["--version"]);
    assert_eq!(missing.status.code(), Some(1));
    let stderr = text(&missing.stderr);
    assert!(
        stderr.contains("cannot find the package @supaqueue/"),
        "{stderr}"
    );
    assert!(stderr.contains("without --omit=optional"), "{stderr}");
}

#[test]
fn a_signal_to_the_launcher_ends_the_program() {
    let tarballs = tempfile::tempdir().unwrap();
    // Stands for the program, as it has to run for as long as the test wants.
    let program = tarballs.path().join("sleeper");
    std::fs::write(&program, "#!/bin/sh\necho $$\nexec sleep 60\n").unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, executable).unwrap();
    let repository = Repository::find().unwrap();
    let [launcher, platform] = pack(&repository, &program, tarballs.path()).unwrap();
    let project = project(&[&launcher, &platform]);

    let mut running = Command::new(project.path().join("node_modules/.bin/supaqueue"))
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(running.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    let signal = |target: &str| {
        let status = Command::new("kill").args(["-s", "TERM", target]).status();
        status.unwrap().success()
    };
    assert!(signal(&running.id().to_string()));
    let status = running.wait().unwrap();
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&status),
        Some(15)
    );
    // It closes when the program itself has ended.
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut out, &mut rest).unwrap();
    assert!(!signal(line.trim()), "the program still runs");
}
