//! Every test of the repository, cheap ones first, ending in one count.
//!
//! A step with tests counts them; a step without, like a formatter, counts as one.

mod tally;
mod typescript;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use self::tally::{Tally, counted};
use crate::wasm_tests;
use xtask::repository::{Deno, Repository, succeed};
use xtask::sql;

/// The WebAssembly function is built and tested for WebAssembly only.
const EDGE: &str = "supaqueue-edge";

/// Where Debian puts the Postgres that many projects still have.
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
        title: "released migrations are unchanged; the newest are what their files say",
        run: |repository| sql::check(repository).map(|()| Tally::ONE),
    },
    Step {
        name: "typescript",
        title: "TypeScript is formatted, without lint, and has its types right",
        run: typescript::check,
    },
    Step {
        name: "licences",
        title: "licences and sources of the crates that we use (advisories need a server: not checked)",
        run: licences,
    },
    Step {
        name: "lint",
        title: "clippy has nothing to say",
        run: lint,
    },
    Step {
        name: "function",
        title: "the committed WebAssembly module is what its sources give, byte for byte",
        run: function,
    },
    Step {
        name: "wasm",
        title: "WebAssembly tests in headless Deno, the platform's and the newest",
        run: wasm,
    },
    Step {
        name: "deno",
        title: "tests of the function in Deno, the platform's and the newest",
        run: deno,
    },
    Step {
        name: "native",
        title: "native tests, the SQL and end-to-end tests among them",
        run: native,
    },
    Step {
        name: "postgres15",
        title: "the SQL and race tests once more on Postgres 15, where it is installed",
        run: postgres15,
    },
    Step {
        name: "docs",
        title: "the documentation's links lead somewhere",
        run: docs,
    },
];

/// Runs the named steps, or all, and prints the count of tests as the last line.
pub(crate) fn run(repository: &Repository, names: &[&str]) -> Result<ExitCode> {
    for name in names {
        if !STEPS.iter().any(|step| step.name == *name) {
            let known: Vec<_> = STEPS.iter().map(|step| step.name).collect();
            bail!("no step is called {name}; there are: {}", known.join(", "));
        }
    }
    let wanted = |step: &&Step| names.is_empty() || names.contains(&step.name);
    let mut results = Vec::new();
    for step in STEPS.iter().filter(wanted) {
        println!("\n=== {}: {}", step.name, step.title);
        let start = Instant::now();
        let tally = (step.run)(repository).unwrap_or_else(|error| {
            println!("error: {error:#}");
            Tally::FAILURE
        });
        println!("--- {}: {tally} in {:.0?}", step.name, start.elapsed());
        results.push((step.name, tally, start.elapsed()));
    }
    Ok(summary(&results))
}

fn summary(results: &[(&str, Tally, Duration)]) -> ExitCode {
    println!("\n=== summary");
    for (name, tally, time) in results {
        println!("{name:<12}{tally} in {time:.0?}");
    }
    let total: Tally = results.iter().map(|(_, tally, _)| *tally).sum();
    println!("\n{total}");
    if total.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// A command that counts as one test.
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
    let native = clippy(&["--workspace", "--exclude", EDGE]);
    let wasm = clippy(&["--package", EDGE, "--target", "wasm32-unknown-unknown"]);
    Ok(native? + wasm?)
}

fn function(repository: &Repository) -> Result<Tally> {
    check(&mut function_builder(repository, &["check"]))
}

/// The function builder is a program of its own, so that setting up the demo need not compile it.
pub(crate) fn function_builder(repository: &Repository, words: &[&str]) -> Command {
    let mut cargo = repository.cargo();
    cargo
        .args([
            "run",
            "--locked",
            "--quiet",
            "--package",
            "function-builder",
            "--",
        ])
        .args(words);
    cargo
}

fn wasm(repository: &Repository) -> Result<Tally> {
    let folder = PathBuf::from(wasm_tests::CRATE);
    both(repository, |deno| {
        counted(&mut wasm_tests::command(repository, &folder, deno)?)
    })
}

fn deno(repository: &Repository) -> Result<Tally> {
    both(repository, |deno| {
        let mut command = repository.deno_command(deno);
        command
            // Types are the step typescript's.
            .args(["test", "--no-check", "--allow-read", "--allow-env"])
            .args(["--allow-net=127.0.0.1", "tests/deno"]);
        counted(&mut command)
    })
}

/// Runs the same tests in both Denos: each must run some, and both the same number.
fn both(repository: &Repository, run: impl Fn(Deno) -> Result<Tally>) -> Result<Tally> {
    let mut tallies = Vec::new();
    for deno in Deno::BOTH {
        println!("in {deno}: {}", repository.deno(deno).display());
        let tally = run(deno)?;
        ensure!(tally.total() > 0, "{deno} ran no test at all");
        tallies.push(tally);
    }
    if let [platform, newest] = tallies[..] {
        ensure!(
            platform.total() == newest.total(),
            "the platform's Deno ran {} tests, the newest {}",
            platform.total(),
            newest.total()
        );
    }
    Ok(tallies.into_iter().sum())
}

fn native(repository: &Repository) -> Result<Tally> {
    let tally = counted(&mut native_tests(repository))?;
    ensure!(tally.total() > 0, "no native test ran");
    Ok(tally)
}

/// Always of the same packages with the same features, so that nothing is compiled twice.
fn native_tests(repository: &Repository) -> Command {
    let mut cargo = repository.cargo();
    cargo
        .args(["test", "--locked", "--no-fail-fast", "--workspace"])
        .args(["--exclude", EDGE]);
    cargo
}

fn postgres15(repository: &Repository) -> Result<Tally> {
    if !Path::new(POSTGRES_15).join("postgres").exists() {
        println!("there is no {POSTGRES_15}/postgres: nothing to run");
        return Ok(Tally::default());
    }
    let mut cargo = native_tests(repository);
    for test in ["sql", "race", "job_dependencies"] {
        cargo.args(["--test", test]);
    }
    cargo.env("SUPAQUEUE_POSTGRES_BIN", POSTGRES_15);
    counted(&mut cargo)
}

fn docs(repository: &Repository) -> Result<Tally> {
    let mut cargo = repository.cargo();
    cargo
        .args(["doc", "--locked", "--quiet", "--no-deps", "--workspace"])
        .args([
            "--document-private-items",
            "--exclude",
            EDGE,
            "--exclude",
            "xtask",
        ])
        .env("RUSTDOCFLAGS", "-D warnings");
    check(&mut cargo).context("see the warnings above")
}
