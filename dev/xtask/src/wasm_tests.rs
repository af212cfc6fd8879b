//! The WebAssembly tests, by `wasm-pack test` in headless Deno.
//!
//! wasm-pack and wasm-bindgen's test runner know Deno only half; the programs in
//! `scripts/wasm-tests`, found first, make up for the rest and say how.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use xtask::repository::{Deno, Repository};

/// The crate whose tests these are.
pub(crate) const CRATE: &str = "crates/supaqueue-edge";

/// The command that runs the tests of the crate in `folder`.
pub(crate) fn command(repository: &Repository, folder: &Path, deno: Deno) -> Result<Command> {
    let tools = repository.tools().join("bin");
    let found_first = [repository.path("scripts/wasm-tests"), tools.clone()];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(found_first.into_iter().chain(std::env::split_paths(&path)))
        .context("PATH cannot take the folder of this clone: is there a colon in its name?")?;
    let mut command = repository.command(repository.tool("wasm-pack"));
    command
        .args(["test", "--node", "--mode", "no-install"])
        .arg(folder)
        .env("PATH", path)
        .env("SUPAQUEUE_TOOLS", tools)
        .env("SUPAQUEUE_DENO", repository.deno(deno))
        .env("WASM_BINDGEN_USE_DENO", "1")
        // What it would download goes, like everything, into the clone.
        .env("WASM_PACK_CACHE", repository.tools().join("wasm-pack"))
        .env("DENO_DIR", repository.tools().join(deno.package()))
        .env("DENO_NO_UPDATE_CHECK", "1")
        .env("NO_COLOR", "1");
    Ok(command)
}
