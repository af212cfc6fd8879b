//! Checks the format, lint and types of all TypeScript and JavaScript.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use walkdir::{DirEntry, WalkDir};
use xtask::repository::{Deno, Repository, succeed};

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
    let types = check_types(repository, Deno::Newest, &files)?;

    // Only functions run on the platform. Its Deno would download types for tests that use node:*.
    let is_function = |path: &PathBuf| {
        path.components()
            .any(|part| part.as_os_str() == "functions")
    };
    let functions: Vec<_> = files
        .iter()
        .filter(|path| is_function(path))
        .cloned()
        .collect();
    let platform = check_types(repository, Deno::Platform, &functions)?;
    Ok(format + lint + types + platform)
}

/// Checks types with the `deno.json` nearest to each script, which says where its imports come from.
fn check_types(repository: &Repository, deno: Deno, files: &[PathBuf]) -> Result<Tally> {
    let mut by_config: BTreeMap<Option<PathBuf>, Vec<&PathBuf>> = BTreeMap::new();
    for file in files {
        let folders = file.ancestors().skip(1);
        let config = folders
            .take_while(|folder| folder.starts_with(repository.root()))
            .map(|folder| folder.join("deno.json"))
            .find(|path| path.exists());
        by_config.entry(config).or_default().push(file);
    }
    for (config, files) in by_config {
        let mut check = repository.deno_command(deno);
        check.arg("check");
        if let Some(config) = config {
            check.arg("--config").arg(config);
        }
        succeed(check.args(files)).with_context(|| format!("in {deno}"))?;
    }
    Ok(Tally::ONE)
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
