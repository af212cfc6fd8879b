//! Counts the tests that a test runner reports in its output.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::ops::Add;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// Numbers of passed and failed tests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Tally {
    pub(super) passed: u32,
    pub(super) failed: u32,
}

impl Tally {
    pub(super) const ONE: Tally = Tally {
        passed: 1,
        failed: 0,
    };
    pub(super) const FAILURE: Tally = Tally {
        passed: 0,
        failed: 1,
    };

    pub(super) fn total(self) -> u32 {
        self.passed + self.failed
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

impl Add for Tally {
    type Output = Tally;

    fn add(self, other: Tally) -> Tally {
        Tally {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
        }
    }
}

/// Runs a test runner, passes its output through, and adds up the counts in it.
///
/// A runner that fails without reporting a failed test, for example because the tests do not
/// compile, counts as one failed test.
pub(super) fn counted(command: &mut Command) -> Result<Tally> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut runner = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {program}"))?;
    let mut tally = Tally::default();
    if let Some(stdout) = runner.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.with_context(|| format!("cannot read the output of {program}"))?;
            let mut out = std::io::stdout().lock();
            out.write_all(&line)?;
            out.write_all(b"\n")?;
            tally = tally + counts(&String::from_utf8_lossy(&line)).unwrap_or_default();
        }
    }
    let status = runner.wait()?;
    if !status.success() && tally.failed == 0 {
        println!("{program} failed ({status})");
        tally.failed = 1;
    }
    Ok(tally)
}

/// Parses a runner's summary line; `None` for any other line.
///
/// No test of this repository may be skipped, so an ignored test counts as a failed one.
fn counts(line: &str) -> Option<Tally> {
    let line = line.trim();
    let counts = if let Some(counts) = line.strip_prefix("test result: ") {
        // Rust and wasm-bindgen: ok. 3 passed; 0 failed; 0 ignored; …
        counts.split_once(". ")?.1
    } else {
        // Deno: ok | 3 passed (2 steps) | 0 failed | 1 ignored (12ms)
        let (verdict, counts) = line.split_once(" | ")?;
        if !matches!(verdict, "ok" | "FAILED") {
            return None;
        }
        counts
    };
    let mut tally = Tally::default();
    for part in counts.split([';', '|']) {
        let mut words = part.split_whitespace();
        let Some(number) = words.next().and_then(|word| word.parse::<u32>().ok()) else {
            continue;
        };
        match words.next() {
            Some("passed") => tally.passed += number,
            Some("failed" | "ignored") => tally.failed += number,
            _ => {}
        }
    }
    Some(tally)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, want: Option<(u32, u32)>) {
        let want = want.map(|(passed, failed)| Tally { passed, failed });
        assert_eq!(counts(line), want, "in {line:?}");
    }

    #[test]
    fn the_summary_of_every_runner_is_parsed() {
        check(
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.01s",
            Some((12, 0)),
        );
        check(
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 filtered out; finished in 0.00s",
            Some((2, 1)),
        );
        check("ok | 3 passed | 0 failed (12ms)", Some((3, 0)));
        check("ok | 1 passed (2 steps) | 0 failed (1s)", Some((1, 0)));
        check(
            "FAILED | 3 passed (1 step) | 2 failed (1 step) (34ms)",
            Some((3, 2)),
        );
    }

    #[test]
    fn an_ignored_test_counts_as_failed() {
        check(
            "test result: ok. 1 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out",
            Some((1, 2)),
        );
        check("ok | 3 passed | 0 failed | 1 ignored (12ms)", Some((3, 1)));
    }

    #[test]
    fn other_lines_are_not_counted() {
        check("running 3 tests", None);
        check("test signature::a_changed_byte ... ok", None);
        check("a | 3 passed", None);
        check("", None);
    }
}
