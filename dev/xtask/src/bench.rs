//! Starts the benchmarks of `dev/bench`.

use anyhow::Result;
use xtask::repository::{Deno, Repository, succeed};

/// Compares the function with the same work in plain TypeScript, on the platform's Deno.
pub(crate) fn function(repository: &Repository, words: &[&str]) -> Result<()> {
    let mut deno = repository.deno_command(Deno::Platform);
    deno.args(["run", "--no-check", "--allow-all"])
        .arg(repository.path("dev/bench/function/main.ts"))
        .args(words);
    succeed(&mut deno)
}

/// Runs a benchmark on a local stack: of speed, of the engine in Postgres, or under a steady load.
pub(crate) fn stack(repository: &Repository, words: &[&str]) -> Result<()> {
    let mut cargo = repository.cargo();
    // Optimized, because it shares the CPU with the Postgres that it measures.
    cargo
        .args(["run", "--locked", "--quiet", "--release"])
        .args(["--package", "supaqueue-bench", "--"])
        .args(words);
    succeed(&mut cargo)
}
