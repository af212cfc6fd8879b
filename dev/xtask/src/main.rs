//! Chores of the repository, run as `cargo xtask <chore>`.
//!
//! The scripts in `scripts/` are doors to these; what a chore does is here.

mod bench;
mod setup;
mod suite;
mod wasm_tests;

use std::process::ExitCode;

use anyhow::{Result, bail};

use xtask::repository::{Repository, succeed};
use xtask::sql;

const USAGE: &str = "\
usage: cargo xtask <chore>

  setup [run|test]            install what running or (default) testing needs
  sql build|check             assemble the newest migration and the add-ons from their files
  sql release                 record the newest migration as released: it may not change any more
  function build|check        build supabase/functions/supaqueue/supaqueue.js
  function check --quick      compare only the hash of its sources
  test [STEP…]                every test, or the named steps
  bench function              compare the function with one in plain TypeScript
  bench engine [quick]        what jobs cost in Postgres, with the goals
  bench load [MINUTES|quick]  whether anything grows under a steady load: an hour, or so many minutes
  bench [quick]               how fast the whole is: efficiency, ceiling, latency";

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
        ["bench", "function"] => bench::function(&repository)?,
        ["bench", words @ ..] => bench::stack(&repository, words)?,
        ["test", steps @ ..] => return suite::run(&repository, steps),
        ["help" | "--help" | "-h"] => println!("{USAGE}"),
        [] => bail!("which chore?\n\n{USAGE}"),
        _ => bail!("no such chore: {}\n\n{USAGE}", arguments.join(" ")),
    }
    Ok(ExitCode::SUCCESS)
}
