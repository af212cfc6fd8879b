//! The demo as it is run from a shell.
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

/// A folder for the files of a test, and another that everything temporary goes to.
struct Place {
    files: TempDir,
    temporary: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            files: tempfile::tempdir().unwrap(),
            temporary: tempfile::tempdir().unwrap(),
        };
        // As root, Postgres runs as another user, who must get there too.
        fs::set_permissions(place.temporary.path(), fs::Permissions::from_mode(0o777)).unwrap();
        place
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

    /// What was left behind: files, and processes that name the temporary folder.
    fn left_behind(&self) -> Vec<String> {
        let files = fs::read_dir(self.temporary.path()).unwrap();
        let mut left: Vec<_> = files
            .map(|entry| entry.unwrap().path().display().to_string())
            .collect();
        let processes = Command::new("ps")
            .args(["-axo", "command"])
            .output()
            .unwrap();
        let name = self.temporary.path().to_str().unwrap();
        left.extend(
            text(&processes.stdout)
                .lines()
                .filter(|line| line.contains(name))
                .map(str::to_owned),
        );
        left
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn status(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn every_section_of_every_file_is_done() {
    let place = Place::new();
    place.file("guide.md", THREE_SECTIONS);
    place.file("note.txt", "One paragraph only.\n");
    let output = place
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
        "the longest section, its words and its hash: {out}"
    );
    assert!(
        !out.contains('\x1b'),
        "no colours where nobody looks: {out}"
    );
    assert_eq!(place.left_behind(), Vec::<String>::new());
}

#[test]
fn a_pipeline_splits_measures_and_combines() {
    let place = Place::new();
    place.file("guide.md", THREE_SECTIONS);
    place.file("note.txt", "One paragraph only.\n");
    let output = place
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
    assert_eq!(place.left_behind(), Vec::<String>::new());
}

#[test]
fn a_pipeline_needs_files_that_fit_in_a_job() {
    let place = Place::new();
    place.file("large.txt", "word ".repeat(500_000));
    let output = place.demo(&["pipeline", "large.txt"]).output().unwrap();
    assert_eq!(status(&output), Some(2));
    assert_eq!(
        text(&output.stderr),
        "demo pipeline: large.txt: this file has more than 2 MB, too much for one job\n"
    );
}

#[test]
fn what_cannot_be_read_is_refused_before_anything_starts() {
    let place = Place::new();
    place.file("good.md", THREE_SECTIONS);
    place.file("empty.md", "");
    place.file("blank.txt", " \n\n\t\n");
    place.file("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    fs::create_dir(place.files.path().join("folder")).unwrap();
    let cases = [
        (
            &["missing.md"][..],
            "demo: missing.md: there is no such file\n",
        ),
        (&["empty.md"], "demo: empty.md: this file is empty\n"),
        (&["blank.txt"], "demo: blank.txt: this file is empty\n"),
        (
            &["picture.png"],
            "demo: picture.png: this is a binary file, or not in UTF-8\n",
        ),
        (
            &["folder"],
            "demo: folder: this is a folder; name the files in it\n",
        ),
        (
            &["good.md", "missing.md"],
            "demo: missing.md: there is no such file\n",
        ),
    ];
    for (arguments, want) in cases {
        let mut command = place.demo(arguments);
        // Would anything be started, there would be another error.
        command
            .env("SUPAQUEUE_POSTGRES_BIN", "/nonexistent")
            .env("SUPAQUEUE_DENO", "/nonexistent");
        let output = command.output().unwrap();
        assert_eq!(text(&output.stderr), want);
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        assert_eq!(status(&output), Some(2), "{arguments:?}");
    }
    assert_eq!(place.left_behind(), Vec::<String>::new());
}

#[test]
fn a_senseless_number_of_workers_is_refused() {
    let place = Place::new();
    place.file("good.md", THREE_SECTIONS);
    for workers in ["0", "-1", "101", "many"] {
        let output = place
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
fn a_program_that_is_missing_or_broken_is_named() {
    let place = Place::new();
    place.file("good.md", THREE_SECTIONS);
    let broken = place.files.path().join("broken");
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
        let output = place
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
    assert_eq!(place.left_behind(), Vec::<String>::new());
}

fn executable(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn an_interruption_leaves_nothing_behind() {
    let place = Place::new();
    // More than can be done at 10 calls a second before the signal comes.
    place.file("long.md", THREE_SECTIONS.repeat(200));
    for signal in ["INT", "TERM"] {
        let mut demo = place
            .demo(&["long.md"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
        let is_under_way = lines.any(|line| line.unwrap().contains("/600 sections"));
        assert!(is_under_way, "the demo shows its progress");
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
            "no summary of a part"
        );
        let mut error = String::new();
        demo.stderr
            .take()
            .unwrap()
            .read_to_string(&mut error)
            .unwrap();
        assert_eq!(demo.wait().unwrap().code(), Some(130), "{error}");
        assert_eq!(error, "demo: stopped\n");
        assert_eq!(place.left_behind(), Vec::<String>::new());
    }
}
