//! Runs the WebAssembly tests with `wasm-pack test` in headless Deno.
//!
//! wasm-pack and the test runner of wasm-bindgen support Deno only in part. The wrappers in
//! `scripts/wasm-tests`, which come first on `PATH`, fill the gaps and explain them.

use std::process::Command;

use anyhow::{Context, Result};
use xtask::repository::{Deno, Repository};

/// The crate that is tested.
const CRATE: &str = "crates/supaqueue-edge";

/// The command that runs the tests in one version of Deno.
pub(crate) fn command(repository: &Repository, deno: Deno) -> Result<Command> {
    let tools = repository.tools().join("bin");
    let first = [repository.path("scripts/wasm-tests"), tools.clone()];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(first.into_iter().chain(std::env::split_paths(&path)))
        .context("cannot add this clone to PATH: is there a colon in its path?")?;
    let mut command = repository.command(repository.tool("wasm-pack"));
    command
        .args(["test", "--node", "--mode", "no-install"])
        .arg(CRATE)
        .env("PATH", path)
        .env("SUPAQUEUE_TOOLS", tools)
        .env("SUPAQUEUE_DENO", repository.deno(deno))
        .env("WASM_BINDGEN_USE_DENO", "1")
        // Keeps its downloads, like everything else, inside the clone.
        .env("WASM_PACK_CACHE", repository.tools().join("wasm-pack"))
        .env("DENO_DIR", repository.tools().join(deno.package()))
        .env("DENO_NO_UPDATE_CHECK", "1")
        .env("NO_COLOR", "1");
    Ok(command)
}
