//! Runs every test of the repository, cheap ones first, and counts them.
//!
//! A step without tests of its own, such as a formatter, counts as one test.

mod tally;
mod typescript;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use xtask::repository::{Deno, Repository, succeed};

use self::tally::{Tally, counted};
use crate::{bench, wasm_tests};
use xtask::sql;

/// This crate only compiles for WebAssembly.
const EDGE: &str = "supaqueue-edge";

/// Where Debian installs Postgres 15, which many projects still run.
const POSTGRES_15: &str = "/usr/lib/postgresql/15/bin";

struct Step {
    name: &'static str,
    title: &'static str,
    run: fn(&Repository) -> Result<Tally>,
}

const STEPS: [Step; 11] = [
    Step {
        name: "format",
        title: "Rust is formatted",
        run: |repository| check(repository.cargo().args(["fmt", "--all", "--check"])),
    },
    Step {
        name: "sql",
        title: "released migrations are unchanged; the newest match their sources",
        run: |repository| sql::check(repository).map(|()| Tally::ONE),
    },
    Step {
        name: "typescript",
        title: "TypeScript is formatted, passes the linter and type-checks",
        run: typescript::check,
    },
    Step {
        name: "licences",
        title: "licences and sources of all crates are allowed (advisories are not checked offline)",
        run: licences,
    },
    Step {
        name: "lint",
        title: "clippy reports no warning",
        run: lint,
    },
    Step {
        name: "function",
        title: "the committed function matches a fresh build, byte for byte, and its benchmark runs",
        run: |repository| {
            let matches = check(&mut function_builder(repository, &["check"]))?;
            bench::function(repository, &["quick"])?;
            Ok(matches + Tally::ONE)
        },
    },
    Step {
        name: "wasm",
        title: "WebAssembly tests in headless Deno, in both versions",
        run: |repository| in_both_denos(repository, wasm_tests::command),
    },
    Step {
        name: "deno",
        title: "Deno tests of the function and the demo, in both versions",
        run: |repository| in_both_denos(repository, deno_tests),
    },
    Step {
        name: "native",
        title: "native tests, including SQL, races and end to end",
        run: native,
    },
    Step {
        name: "postgres15",
        title: "SQL and race tests on Postgres 15, if it is installed",
        run: postgres15,
    },
    Step {
        name: "docs",
        title: "rustdoc reports no warning, such as a broken link",
        run: docs,
    },
];

/// The names of all steps, in the order in which they run.
pub(crate) fn step_names() -> [&'static str; STEPS.len()] {
    STEPS.map(|step| step.name)
}

/// Runs the named steps, or all of them, and prints the total number of tests as the last line.
pub(crate) fn run(repository: &Repository, names: &[&str]) -> Result<ExitCode> {
    let known = step_names();
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        bail!("unknown step: {unknown}; known steps: {}", known.join(", "));
    }
    let mut total = Tally::default();
    let mut summary = String::new();
    for step in &STEPS {
        if !names.is_empty() && !names.contains(&step.name) {
            continue;
        }
        println!("\n=== {}: {}", step.name, step.title);
        let start = Instant::now();
        let tally = (step.run)(repository).unwrap_or_else(|error| {
            println!("error: {error:#}");
            Tally::FAILURE
        });
        let result = format!("{tally} in {:.0?}", start.elapsed());
        println!("--- {}: {result}", step.name);
        summary += &format!("{:<12}{result}\n", step.name);
        total = total + tally;
    }
    println!("\n=== summary\n{summary}\n{total}");
    Ok(match total.failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// Runs a command that counts as one test.
fn check(command: &mut Command) -> Result<Tally> {
    succeed(command).map(|()| Tally::ONE)
}

fn licences(repository: &Repository) -> Result<Tally> {
    let mut deny = repository.command(repository.tool("cargo-deny"));
    deny.args(["--locked", "check", "--hide-inclusion-graph"])
        .args(["licenses", "bans", "sources"]);
    check(&mut deny)
}

fn lint(repository: &Repository) -> Result<Tally> {
    let clippy = |scope: &[&str]| {
        let mut cargo = repository.cargo();
        cargo
            .args(["clippy", "--locked", "--quiet", "--all-targets"])
            .args(scope)
            .args(["--", "-D", "warnings"]);
        check(&mut cargo)
    };
    let native = clippy(&["--workspace", "--exclude", EDGE])?;
    let wasm = clippy(&["--package", EDGE, "--target", "wasm32-unknown-unknown"])?;
    Ok(native + wasm)
}

/// The function builder is a separate program, so that setting up the demo need not compile it.
pub(crate) fn function_builder(repository: &Repository, arguments: &[&str]) -> Command {
    let mut cargo = repository.cargo();
    cargo
        .args(["run", "--locked", "--quiet"])
        .args(["--package", "function-builder", "--"])
        .args(arguments);
    cargo
}

fn deno_tests(repository: &Repository, deno: Deno) -> Result<Command> {
    let mut command = repository.deno_command(deno);
    command
        // The step `typescript` checks the types.
        .args(["test", "--no-check", "--allow-read", "--allow-env"])
        .args(["--allow-net=127.0.0.1", "tests/deno"]);
    Ok(command)
}

/// Runs the same tests in both versions of Deno, which must run the same number of them.
fn in_both_denos(
    repository: &Repository,
    command: fn(&Repository, Deno) -> Result<Command>,
) -> Result<Tally> {
    let run = |deno| {
        println!("in {deno}: {}", repository.deno(deno).display());
        let tally = counted(&mut command(repository, deno)?)?;
        ensure!(tally.total() > 0, "{deno} ran no tests");
        Ok(tally)
    };
    let (platform, newest) = (run(Deno::Platform)?, run(Deno::Newest)?);
    ensure!(
        platform.total() == newest.total(),
        "the platform's Deno ran {} tests, the newest {}",
        platform.total(),
        newest.total()
    );
    Ok(platform + newest)
}

fn native(repository: &Repository) -> Result<Tally> {
    let tally = counted(&mut native_tests(repository))?;
    ensure!(tally.total() > 0, "no native tests ran");
    Ok(tally)
}

/// Every step selects the same packages, and so the same features, so that nothing is compiled twice.
fn native_tests(repository: &Repository) -> Command {
    let mut cargo = repository.cargo();
    cargo
        .args(["test", "--locked", "--no-fail-fast", "--workspace"])
        .args(["--exclude", EDGE]);
    // Most tests wait most of the time: for Postgres, for a program that starts, for a timeout.
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        cargo.env("RUST_TEST_THREADS", (2 * cores).to_string());
    }
    cargo
}

fn postgres15(repository: &Repository) -> Result<Tally> {
    if !Path::new(POSTGRES_15).join("postgres").exists() {
        println!("skipped: {POSTGRES_15}/postgres does not exist");
        return Ok(Tally::default());
    }
    let mut cargo = native_tests(repository);
    for test in ["sql", "race", "schedules", "job_dependencies"] {
        cargo.args(["--test", test]);
    }
    cargo.env("SUPAQUEUE_POSTGRES_BIN", POSTGRES_15);
    // What depends on no version of Postgres: that the tests find an engine that was broken on purpose, and arithmetic.
    cargo.arg("--");
    for skipped in [
        "broken_engine::",
        "storm_finds",
        "model_finds",
        "changes_of_the_clocks",
    ] {
        cargo.args(["--skip", skipped]);
    }
    counted(&mut cargo)
}

fn docs(repository: &Repository) -> Result<Tally> {
    let mut cargo = repository.cargo();
    cargo
        .args(["doc", "--locked", "--quiet", "--no-deps", "--workspace"])
        .args(["--document-private-items", "--exclude", EDGE])
        .args(["--exclude", "xtask"])
        .env("RUSTDOCFLAGS", "-D warnings");
    check(&mut cargo)
}
