//! Measurements. What is measured, and how, is in `dev/bench`.

use anyhow::Result;

use xtask::repository::{Deno, Repository, succeed};

/// Compares the function with the same work in plain TypeScript, on the platform's Deno.
pub(crate) fn function(repository: &Repository) -> Result<()> {
    let mut deno = repository.deno_command(Deno::Platform);
    deno.args(["run", "--no-check", "--allow-all"])
        .arg(repository.path("dev/bench/function/main.ts"));
    succeed(&mut deno)
}

/// Measures on a local stack: what jobs cost in Postgres, how fast the whole is, or what grows under a
/// load that lasts.
pub(crate) fn stack(repository: &Repository, words: &[&str]) -> Result<()> {
    let mut cargo = repository.cargo();
    // Optimized: it shares the processor with the Postgres that it measures.
    cargo
        .args(["run", "--locked", "--quiet", "--release"])
        .args(["--package", "supaqueue-bench", "--"])
        .args(words);
    succeed(&mut cargo)
}
