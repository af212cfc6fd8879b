//! Runs the demo as from a shell.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on must panic

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

const THREE_SECTIONS: &str = "\
# Queues\n\nA queue holds calls. It has workers.\n\n\
# Workers\n\nA worker makes one call at a time, and a queue has a handful of workers for its many calls.\n\n\
# Retries\n\nWhat fails is tried again.\n";

/// A folder for the files of a test, and another for all temporary files.
struct Folders {
    files: TempDir,
    temporary: TempDir,
}

impl Folders {
    fn new() -> Self {
        let folders = Self {
            files: tempfile::tempdir().unwrap(),
            temporary: tempfile::tempdir().unwrap(),
        };
        // Under root, Postgres runs as another user, which needs access too.
        fs::set_permissions(folders.temporary.path(), fs::Permissions::from_mode(0o777)).unwrap();
        folders
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.files.path().join(name), content).unwrap();
    }

    fn demo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_supaqueue-demo"));
        command
            .args(arguments)
            .current_dir(self.files.path())
            .env("TMPDIR", self.temporary.path());
        command
    }

    /// Temporary files, and processes with the temporary folder in their command line.
    fn left_behind(&self) -> Vec<String> {
        let files = fs::read_dir(self.temporary.path()).unwrap();
        let mut found: Vec<_> = files
            .map(|entry| entry.unwrap().path().display().to_string())
            .collect();
        let processes = Command::new("ps")
            .args(["-axo", "command"])
            .output()
            .unwrap();
        let name = self.temporary.path().to_str().unwrap();
        found.extend(
            text(&processes.stdout)
                .lines()
                .filter(|line| line.contains(name))
                .map(str::to_owned),
        );
        found
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn status(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn every_section_of_every_file_is_measured() {
    let folders = Folders::new();
    folders.file("guide.md", THREE_SECTIONS);
    folders.file("note.txt", "One paragraph only.\n");
    let output = folders
        .demo(&["--workers", "2", "guide.md", "note.txt"])
        .output()
        .unwrap();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(status(&output), Some(0), "{out}{error}");
    let has_row = |first: &str, second: &str| {
        out.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(first) && words.next() == Some(second)
        })
    };
    assert!(has_row("guide.md", "3"), "{out}");
    assert!(has_row("note.txt", "1"), "{out}");
    assert!(has_row("all", "4"), "{out}");
    assert!(has_row("workers", "2"), "{out}");
    // printf '# Workers\n\n…\n\n' | sha256sum
    let longest = ["Workers", "21", "workers", "48cc33f39921"];
    let is_longest = |line: &str| {
        longest
            .iter()
            .all(|word| line.split_whitespace().any(|w| w == *word))
    };
    assert!(
        out.lines().any(is_longest),
        "the longest section, with its words and hash: {out}"
    );
    assert!(
        !out.contains('\x1b'),
        "no colours without a terminal: {out}"
    );
    assert_eq!(folders.left_behind(), Vec::<String>::new());
}

#[test]
fn a_pipeline_splits_measures_and_combines() {
    let folders = Folders::new();
    folders.file("guide.md", THREE_SECTIONS);
    folders.file("note.txt", "One paragraph only.\n");
    let output = folders
        .demo(&["pipeline", "--workers", "2", "guide.md", "note.txt"])
        .output()
        .unwrap();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(status(&output), Some(0), "{out}{error}");
    let lines: Vec<_> = out.lines().collect();
    for want in [
        "guide.md: 3 parts, 35 words, 7 sentences, readability (LIX) 22",
        "note.txt: 1 part, 3 words, 1 sentence, readability (LIX) 36",
        "flowchart LR",
    ] {
        assert!(lines.contains(&want), "{want:?} is not in:\n{out}");
    }
    let last = lines
        .iter()
        .rfind(|line| line.starts_with("guide.md  "))
        .unwrap();
    assert!(
        last.starts_with("guide.md  split-text: successful → measure-text × 3: 3 successful"),
        "{last}"
    );
    assert!(last.contains(" → combine-measures: successful"), "{last}");
    assert_eq!(folders.left_behind(), Vec::<String>::new());
}

#[test]
fn a_pipeline_needs_files_that_fit_in_a_job() {
    let folders = Folders::new();
    folders.file("large.txt", "word ".repeat(500_000));
    let output = folders.demo(&["pipeline", "large.txt"]).output().unwrap();
    assert_eq!(status(&output), Some(2));
    assert_eq!(
        text(&output.stderr),
        "demo pipeline: large.txt: the file is larger than 2 MB, which is too large for one job\n"
    );
}

#[test]
fn unusable_files_are_refused_before_anything_starts() {
    let folders = Folders::new();
    folders.file("good.md", THREE_SECTIONS);
    folders.file("empty.md", "");
    folders.file("blank.txt", " \n\n\t\n");
    folders.file("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    fs::create_dir(folders.files.path().join("folder")).unwrap();
    let cases = [
        (&["missing.md"][..], "demo: missing.md: no such file\n"),
        (&["empty.md"], "demo: empty.md: the file is empty\n"),
        (&["blank.txt"], "demo: blank.txt: the file is empty\n"),
        (
            &["picture.png"],
            "demo: picture.png: not a text file in UTF-8\n",
        ),
        (
            &["folder"],
            "demo: folder: is a folder; pass the files in it\n",
        ),
        (
            &["good.md", "missing.md"],
            "demo: missing.md: no such file\n",
        ),
    ];
    for (arguments, want) in cases {
        let mut command = folders.demo(arguments);
        // Starting any program would cause a different error.
        command
            .env("SUPAQUEUE_POSTGRES_BIN", "/nonexistent")
            .env("SUPAQUEUE_DENO", "/nonexistent");
        let output = command.output().unwrap();
        assert_eq!(text(&output.stderr), want);
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        assert_eq!(status(&output), Some(2), "{arguments:?}");
    }
    assert_eq!(folders.left_behind(), Vec::<String>::new());
}

#[test]
fn an_invalid_number_of_workers_is_refused() {
    let folders = Folders::new();
    folders.file("good.md", THREE_SECTIONS);
    for workers in ["0", "-1", "101", "many"] {
        let output = folders
            .demo(&["good.md", &format!("--workers={workers}")])
            .output()
            .unwrap();
        assert_eq!(status(&output), Some(2), "{workers}");
        assert!(
            text(&output.stderr).contains("--workers"),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn a_missing_or_broken_program_is_named() {
    let folders = Folders::new();
    folders.file("good.md", THREE_SECTIONS);
    let broken = folders.files.path().join("broken");
    fs::create_dir(&broken).unwrap();
    for program in ["postgres", "initdb", "pg_ctl", "deno"] {
        executable(
            &broken.join(program),
            "#!/bin/sh\necho broken >&2\nexit 1\n",
        );
    }
    let broken = broken.to_str().unwrap();
    let deno = format!("{broken}/deno");
    let cases = [
        ("SUPAQUEUE_POSTGRES_BIN", "/nonexistent", "Postgres"),
        ("SUPAQUEUE_POSTGRES_BIN", broken, "initdb"),
        ("SUPAQUEUE_DENO", "/nonexistent", "Deno"),
        ("SUPAQUEUE_DENO", &deno, "Deno"),
    ];
    for (variable, value, want) in cases {
        let output = folders
            .demo(&["good.md"])
            .env(variable, value)
            .output()
            .unwrap();
        let error = text(&output.stderr);
        assert_eq!(status(&output), Some(1), "{variable}={value}: {error}");
        assert!(
            error.starts_with("demo: ") && error.contains(want),
            "{variable}={value}: {error}"
        );
    }
    assert_eq!(folders.left_behind(), Vec::<String>::new());
}

fn executable(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn an_interruption_leaves_nothing_behind() {
    let folders = Folders::new();
    // At 10 calls per second, more than can be done before the signal.
    folders.file("long.md", THREE_SECTIONS.repeat(200));
    for signal in ["INT", "TERM"] {
        let mut demo = folders
            .demo(&["long.md"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
        let is_running = lines.any(|line| line.unwrap().contains("/600 sections"));
        assert!(is_running, "the demo shows no progress");
        let id = demo.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", signal, &id])
                .status()
                .unwrap()
                .success()
        );
        assert_eq!(
            lines
                .filter(|line| line.as_ref().unwrap().contains("longest"))
                .count(),
            0,
            "no summary after an interruption"
        );
        let mut error = String::new();
        demo.stderr
            .take()
            .unwrap()
            .read_to_string(&mut error)
            .unwrap();
        assert_eq!(demo.wait().unwrap().code(), Some(130), "{error}");
        assert_eq!(error, "demo: interrupted\n");
        assert_eq!(folders.left_behind(), Vec::<String>::new());
    }
}
