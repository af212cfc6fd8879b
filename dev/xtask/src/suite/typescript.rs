//! Checks of all TypeScript and JavaScript: format, lint, types.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::Tally;
use super::check as succeeds;
use xtask::repository::{Deno, Repository};

pub(super) fn check(repository: &Repository) -> Result<Tally> {
    let mut files = Vec::new();
    find(repository.root(), &mut files)?;
    files.sort();
    ensure!(!files.is_empty(), "there is no TypeScript to check");
    let newest = |arguments: &[&str]| {
        let mut deno = repository.deno_command(Deno::Newest);
        succeeds(deno.args(arguments).args(&files))
    };
    let formatted = newest(&["fmt", "--check"])?;
    let lint = newest(&["lint"])?;
    let types = newest(&["check"])?;

    // Functions are what the platform meets. Its Deno would fetch types for tests that use node:*.
    let is_function = |path: &&PathBuf| {
        path.components()
            .any(|part| part.as_os_str() == "functions")
    };
    let mut platform = repository.deno_command(Deno::Platform);
    platform.arg("check").args(files.iter().filter(is_function));
    let platform = succeeds(&mut platform).context("by the platform's Deno")?;
    Ok(formatted + lint + types + platform)
}

/// Every script below `folder`, but for what is hidden, installed or built.
fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("in {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if kind.is_dir() {
            // Cargo marks what it builds, whatever the folder is called, as a cache.
            let is_built = path.join("CACHEDIR.TAG").is_file();
            if !name.starts_with('.') && name != "node_modules" && !is_built {
                find(&path, files)?;
            }
        } else if kind.is_file() && (name.ends_with(".ts") || name.ends_with(".js")) {
            files.push(path);
        }
    }
    Ok(())
}
