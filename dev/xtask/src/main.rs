//! Maintenance tasks of this repository, run as `cargo xtask <task>`.
//!
//! The scripts in `scripts/` install what a task needs and then call it.

mod bench;
mod setup;
mod suite;
mod wasm_tests;

use std::process::ExitCode;

use anyhow::{Result, bail};
use xtask::repository::{Repository, succeed};
use xtask::{npm, sql};

const USAGE: &str = "\
usage: cargo xtask <task>

  setup [run|test]            install what the demo (run) or everything (test, the default) needs
  sql build|check             assemble, or verify, the newest migration and the add-ons
  sql release                 mark the newest migration as released, so that it can no longer change
  function build|check        build, or verify, supabase/functions/supaqueue/supaqueue.js
  function check --quick      compare only the hash of its sources
  test [STEP…]                run every test, or only the named steps
  package [TARGET]            build the npm packages of this platform, or of a target of the
                              Rust compiler, into target/packages
  bench [quick]               measure efficiency, maximum throughput and latency
  bench peers [quick]         compare with graphile-worker, pg-boss and pgmq
  bench engine [quick]        measure the cost of a job in Postgres against its goals
  bench dashboard             measure the dashboard's pages with 1,000,000 jobs
  bench function [quick]      compare the function with one in plain TypeScript
  bench load [MINUTES|quick]  check that nothing grows under a steady load (default: an hour)";

fn usage() -> String {
    format!(
        "{USAGE}\n\nsteps of test: {}",
        suite::step_names().join(" ")
    )
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> Result<ExitCode> {
    let repository = Repository::find()?;
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["setup"] | ["setup", "test"] => setup::test(&repository)?,
        ["setup", "run"] => setup::run(&repository)?,
        ["sql", "build"] => sql::build(&repository)?,
        ["sql", "check"] => sql::check(&repository)?,
        ["sql", "release"] => sql::release(&repository)?,
        ["function", words @ ..] => succeed(&mut suite::function_builder(&repository, words))?,
        ["bench", "function", words @ ..] => bench::function(&repository, words)?,
        ["bench", "peers", ..] => {
            setup::peers(&repository)?;
            bench::stack(&repository, &words[1..])?;
        }
        ["bench", words @ ..] => bench::stack(&repository, words)?,
        ["test", steps @ ..] => return suite::run(&repository, steps),
        ["package"] => npm::package(&repository, None)?,
        ["package", target] => npm::package(&repository, Some(target))?,
        ["help" | "--help" | "-h"] => println!("{}", usage()),
        [] => bail!("no task given\n\n{}", usage()),
        _ => bail!("unknown task: {}\n\n{}", arguments.join(" "), usage()),
    }
    Ok(ExitCode::SUCCESS)
}
