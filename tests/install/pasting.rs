//! A command that the program says to run can be pasted into a shell, and does the same again.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::program::{self, Cli, Environment, Run};

const PASSWORD: &str = "open-sesame";
const KEY: &str = "sb_secret_open sesame";

/// What the program says to resume with.
#[track_caller]
fn resume(run: &Run) -> &str {
    let mut lines = run.text.lines();
    let line = lines.find_map(|line| line.strip_prefix("Resume with: "));
    line.unwrap_or_else(|| panic!("nothing to resume with: {}", run.text))
}

/// A shell in the environment of the program, which it finds on PATH.
fn shell(environment: &Environment, bin: &Path, line: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", line])
        .current_dir(&environment.folder)
        .env_clear()
        .env("PATH", bin)
        .env("HOME", &environment.home)
        .env("TMPDIR", &environment.home);
    command
}

#[test]
fn the_command_that_resumes_is_the_one_that_was_run() {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment::new(folder.path(), "http://127.0.0.1:9");
    let bin = program::path(&environment.home, Cli::Missing);
    symlink(env!("CARGO_BIN_EXE_supaqueue"), bin.join("supaqueue")).unwrap();
    let url = "postgresql://me@db.example.com:1/x?hostaddr=127.0.0.1&application_name=a$b";
    let with_password = url.replace("me@", &format!("me:{PASSWORD}@"));
    let (url, with_password) = (url, with_password.as_str());
    #[rustfmt::skip]
    let cases: [(&[&str], &str); 6] = [
        (&["add-on", "add", "no $such 'add-on'", "--db-url", url, "--yes"], "there is no add-on no $such 'add-on'"),
        (&["install", "--db-url", url, "--ca", "/no where/$HOME.pem"], "/no where/$HOME.pem"),
        (&["install", "--db-url", with_password, "--yes"], "cannot connect"),
        (&["rotate-secret", "--db-url", with_password, "--insecure-db-connection", "--timeout", "7"], "cannot connect"),
        (&["remove", "--local", "--workdir", "a $(folder)", "--keep-data"], "Supabase CLI is not installed"),
        (&["install", "--project-ref", "a;b", "--project-url", "http://c d", "--anon-key", KEY, "--take-over-jobs"], "Supabase CLI is not installed"),
    ];
    for (arguments, why) in cases {
        let mut command = program::command(&environment, Cli::Missing, "");
        let first = program::run(command.args(arguments)).assert_status(1);
        first.assert_says(&["✗", why]);
        let line = resume(&first);
        assert!(!first.text.contains("sesame"), "{}", first.text);
        let mut pasted = shell(&environment, &bin, line);
        if arguments.contains(&with_password) {
            first.assert_says(&["Set PGPASSWORD first"]);
            pasted.env("PGPASSWORD", PASSWORD);
        }
        if arguments.contains(&KEY) {
            first.assert_says(&["Set ANON_KEY first"]);
            pasted.env("ANON_KEY", KEY);
        }
        let second = program::run(&mut pasted).assert_status(1);
        second.assert_says(&["✗", why]);
        assert_eq!(resume(&second), line);
        // Nothing is lost but secrets and defaults.
        let given = arguments.iter().filter(|word| word.starts_with("--"));
        for option in given {
            assert!(line.contains(option), "{option} is not in {line}");
        }
    }

    let mut command = program::command(&environment, Cli::Missing, "remove --local");
    let run = program::run(command.env("SUPAQUEUE_COMMAND", "npx supaqueue"));
    run.assert_says(&["Resume with: npx supaqueue remove --local"]);
}
