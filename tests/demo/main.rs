//! Runs the demo as from a shell.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on must panic

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
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
        let [files, temporary] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        // Under root, Postgres runs as another user, which needs access too.
        fs::set_permissions(temporary.path(), fs::Permissions::from_mode(0o777)).unwrap();
        Self { files, temporary }
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

    /// Runs the demo, which must succeed, on two files of four sections; returns what it printed.
    fn demo_of_two_files(&self, arguments: &[&str]) -> String {
        self.file("guide.md", THREE_SECTIONS);
        self.file("note.txt", "One paragraph only.\n");
        let arguments = [arguments, &["--workers", "2", "guide.md", "note.txt"]].concat();
        let (status, out, error) = outcome(&mut self.demo(&arguments));
        assert_eq!(status, Some(0), "{out}{error}");
        out
    }

    /// Waits until there are no temporary files, and no processes with the temporary folder in
    /// their command line: a process that stopped others takes a moment to end itself.
    fn wait_until_nothing_is_left(&self) {
        let deadline = Instant::now() + Duration::from_secs(15);
        let name = self.temporary.path().to_str().unwrap();
        loop {
            let files: Vec<_> = fs::read_dir(name).unwrap().collect();
            let (_, processes, _) = outcome(Command::new("ps").args(["-axo", "command"]));
            let processes: Vec<_> = processes.lines().filter(|p| p.contains(name)).collect();
            if files.is_empty() && processes.is_empty() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "left behind: {files:?}, {processes:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A command's exit status and its output.
fn outcome(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn every_section_of_every_file_is_measured() {
    let folders = Folders::new();
    let out = folders.demo_of_two_files(&[]);
    let lines = out.lines().map(|line| line.split_whitespace().collect());
    let lines: Vec<Vec<&str>> = lines.collect();
    for row in [
        ["guide.md", "3"],
        ["note.txt", "1"],
        ["all", "4"],
        ["workers", "2"],
    ] {
        let has_row = lines.iter().any(|line| line.starts_with(&row));
        assert!(has_row, "{row:?} is not in:\n{out}");
    }
    // The longest section, with its words and hash: printf '# Workers\n\n…\n\n' | sha256sum
    let longest = ["Workers", "21", "workers", "48cc33f39921"];
    let is_longest = |line: &Vec<&str>| longest.iter().all(|word| line.contains(word));
    assert!(
        lines.iter().any(is_longest),
        "{longest:?} is not in:\n{out}"
    );
    assert!(!out.contains('\x1b'), "colours without a terminal: {out}");
    folders.wait_until_nothing_is_left();
}

#[test]
fn a_pipeline_splits_measures_and_combines() {
    let folders = Folders::new();
    let out = folders.demo_of_two_files(&["pipeline"]);
    let lines: Vec<_> = out.lines().collect();
    for want in [
        "guide.md: 3 parts, 35 words, 7 sentences, readability (LIX) 22",
        "note.txt: 1 part, 3 words, 1 sentence, readability (LIX) 36",
        "flowchart LR",
    ] {
        assert!(lines.contains(&want), "{want:?} is not in:\n{out}");
    }
    let mut states = lines.iter().rev();
    let last = states.find(|line| line.starts_with("guide.md  ")).unwrap();
    let split = "guide.md  split-text: successful → measure-text × 3: 3 successful";
    assert!(last.starts_with(split), "{last}");
    assert!(last.contains(" → combine-measures: successful"), "{last}");
    folders.wait_until_nothing_is_left();
}

#[test]
fn a_pipeline_needs_files_that_fit_in_a_job() {
    let folders = Folders::new();
    folders.file("large.txt", "word ".repeat(500_000));
    let (status, _, error) = outcome(&mut folders.demo(&["pipeline", "large.txt"]));
    assert_eq!(status, Some(2));
    let want =
        "demo pipeline: large.txt: the file is larger than 2 MB, which is too large for one job\n";
    assert_eq!(error, want);
}

#[test]
fn unusable_files_are_refused_before_anything_starts() {
    let folders = Folders::new();
    folders.file("good.md", THREE_SECTIONS);
    folders.file("empty.md", "");
    folders.file("blank.txt", " \n\n\t\n");
    folders.file("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR");
    fs::create_dir(folders.files.path().join("folder")).unwrap();
    #[rustfmt::skip]
    let cases = [
        (&["missing.md"][..], "missing.md: no such file"),
        (&["empty.md"], "empty.md: the file is empty"),
        (&["blank.txt"], "blank.txt: the file is empty"),
        (&["picture.png"], "picture.png: not a text file in UTF-8"),
        (&["folder"], "folder: is a folder; pass the files in it"),
        (&["good.md", "missing.md"], "missing.md: no such file"),
    ];
    for (arguments, want) in cases {
        let mut command = folders.demo(arguments);
        // Starting any program would cause a different error.
        for variable in ["SUPAQUEUE_POSTGRES_BIN", "SUPAQUEUE_DENO"] {
            command.env(variable, "/nonexistent");
        }
        let want = (Some(2), String::new(), format!("demo: {want}\n"));
        assert_eq!(outcome(&mut command), want, "{arguments:?}");
    }
    folders.wait_until_nothing_is_left();
}

#[test]
fn an_invalid_number_of_workers_is_refused() {
    let folders = Folders::new();
    folders.file("good.md", THREE_SECTIONS);
    for workers in ["0", "-1", "101", "many"] {
        let workers = format!("--workers={workers}");
        let (status, _, error) = outcome(&mut folders.demo(&["good.md", &workers]));
        assert_eq!(status, Some(2), "{workers}");
        assert!(error.contains("--workers"), "{error}");
    }
}

#[test]
fn a_missing_or_broken_program_is_named() {
    let folders = Folders::new();
    folders.file("good.md", THREE_SECTIONS);
    let broken = folders.files.path().join("broken");
    fs::create_dir(&broken).unwrap();
    for program in ["postgres", "initdb", "pg_ctl", "deno"] {
        let program = broken.join(program);
        fs::write(&program, "#!/bin/sh\necho broken >&2\nexit 1\n").unwrap();
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
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
        let (status, _, error) = outcome(folders.demo(&["good.md"]).env(variable, value));
        assert_eq!(status, Some(1), "{variable}={value}: {error}");
        let is_named = error.starts_with("demo: ") && error.contains(want);
        assert!(is_named, "{variable}={value}: {error}");
    }
    folders.wait_until_nothing_is_left();
}

#[test]
fn an_interruption_leaves_nothing_behind() {
    let folders = Folders::new();
    // At 10 calls per second, more than can be done before the signal.
    folders.file("long.md", THREE_SECTIONS.repeat(200));
    for (signal, status) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let mut demo = folders.demo(&["long.md"]);
        let demo = demo.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut demo = demo.spawn().unwrap();
        let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
        let is_running = lines.any(|line| line.unwrap().contains("/600 sections"));
        assert!(is_running, "the demo shows no progress");
        kill(Pid::from_raw(demo.id().cast_signed()), signal).unwrap();
        let has_summary = lines.any(|line| line.unwrap().contains("longest"));
        assert!(!has_summary, "a summary after an interruption");
        let output = demo.wait_with_output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{error}");
        assert_eq!(error, "demo: interrupted\n");
        folders.wait_until_nothing_is_left();
    }
}
