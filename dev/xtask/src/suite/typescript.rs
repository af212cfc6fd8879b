//! Checks the format, lint and types of all TypeScript and JavaScript.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use walkdir::{DirEntry, WalkDir};
use xtask::repository::{Deno, Repository};

use super::tally::Tally;

pub(super) fn check(repository: &Repository) -> Result<Tally> {
    let files = scripts(repository.root())?;
    ensure!(!files.is_empty(), "found no TypeScript to check");
    let newest = |arguments: &[&str]| {
        let mut deno = repository.deno_command(Deno::Newest);
        super::check(deno.args(arguments).args(&files))
    };
    let format = newest(&["fmt", "--check"])?;
    let lint = newest(&["lint"])?;
    let types = newest(&["check"])?;

    // Only functions run on the platform. Its Deno would download types for tests that use node:*.
    let is_function = |path: &&PathBuf| {
        path.components()
            .any(|part| part.as_os_str() == "functions")
    };
    let mut platform = repository.deno_command(Deno::Platform);
    platform.arg("check").args(files.iter().filter(is_function));
    let platform = super::check(&mut platform).context("in the platform's Deno")?;
    Ok(format + lint + types + platform)
}

/// Every script below `root`, except in folders that are hidden, installed or built.
fn scripts(root: &Path) -> Result<Vec<PathBuf>> {
    let is_ours = |entry: &DirEntry| {
        let name = entry.file_name().to_string_lossy();
        let is_hidden = entry.depth() > 0 && name.starts_with('.');
        // Cargo puts this tag into its target folder, whatever that is called.
        let is_built = entry.path().join("CACHEDIR.TAG").is_file();
        !is_hidden && name != "node_modules" && !is_built
    };
    let mut scripts = Vec::new();
    for entry in WalkDir::new(root)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(is_ours)
    {
        let entry = entry?;
        let extension = entry.path().extension().unwrap_or_default();
        if entry.file_type().is_file() && (extension == "ts" || extension == "js") {
            scripts.push(entry.into_path());
        }
    }
    Ok(scripts)
}
