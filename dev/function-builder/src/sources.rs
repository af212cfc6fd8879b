//! What the function is made of, as a hash.
//!
//! Everything that can change the bytes goes in, and nothing that cannot: tests and
//! the other crates of the workspace may change without a new build of the function.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::compile::{CRATE, PROFILE, TARGET, WASM_OPT};
use super::module::LAYOUT;
use xtask::repository::{Repository, output};

/// The crates whose code is ours.
const CRATES: [&str; 2] = ["crates/supaqueue-core", "crates/supaqueue-edge"];

/// The hash of everything that the function is made of, in hexadecimal.
pub(super) fn hash(repository: &Repository) -> Result<String> {
    let mut hash = Sha256::new();
    let mut add = |name: &str, content: &str| {
        // Lengths keep one entry's end from passing as the next one's beginning.
        hash.update(format!("{name} {}\n", content.len()));
        hash.update(content);
    };
    for path in files(repository)? {
        let name = path.strip_prefix(repository.root()).unwrap_or(&path);
        let name = name.to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {name}"))?;
        // A checkout on Windows may have other line ends.
        add(&name, &text.replace("\r\n", "\n"));
    }
    add("dependencies", &dependencies(repository)?);
    add("profile", &profile(repository)?);
    add("compiler", &compiler(repository)?);
    add("binaryen", &binaryen(repository)?);
    add("wasm-opt", &WASM_OPT.join(" "));
    add("layout", LAYOUT);
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

fn files(repository: &Repository) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in CRATES.map(|folder| repository.path(folder)) {
        files.push(folder.join("Cargo.toml"));
        files.extend(Some(folder.join("build.rs")).filter(|path| path.is_file()));
        find(&folder.join("src"), &mut files)?;
    }
    files.sort();
    Ok(files)
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("in {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            find(&path, files)?;
        } else if !name.ends_with("tests.rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// The crates that the function is linked of, with their features and checksums.
fn dependencies(repository: &Repository) -> Result<String> {
    let tree = output(
        repository
            .cargo()
            .args(["tree", "--locked", "--package", CRATE, "--target", TARGET])
            .args(["--edges", "normal,build", "--prefix", "none"])
            .args(["--no-dedupe", "--format", "{p} {f}"]),
    )?;
    let lock =
        fs::read_to_string(repository.path("Cargo.lock")).context("cannot read Cargo.lock")?;
    let mut lines: Vec<String> = tree
        .lines()
        .map(|line| {
            let (name, version) = name_and_version(line);
            let checksum = checksum(&lock, name, version).unwrap_or("ours");
            format!("{} {checksum}", without_folder(line))
        })
        .collect();
    lines.sort();
    lines.dedup();
    Ok(lines.join("\n"))
}

/// `serde v1.0.229 default,std` → `("serde", "1.0.229")`.
pub(super) fn name_and_version(line: &str) -> (&str, &str) {
    let mut words = line.split(' ');
    let name = words.next().unwrap_or_default();
    let version = words.next().unwrap_or_default();
    (name, version.trim_start_matches('v'))
}

/// The line without the folder in which a crate of ours lies.
fn without_folder(line: &str) -> String {
    match (line.find(" ("), line.find(')')) {
        (Some(start), Some(end)) if start < end && &line[start..=end] != " (proc-macro)" => {
            format!("{}{}", &line[..start], &line[end + 1..])
        }
        _ => line.to_owned(),
    }
}

fn checksum<'a>(lock: &'a str, name: &str, version: &str) -> Option<&'a str> {
    let wanted = format!("name = \"{name}\"\nversion = \"{version}\"\n");
    let lock_entry = lock
        .split("[[package]]\n")
        .find(|entry| entry.starts_with(&wanted))?;
    let line = |line: &'a str| line.strip_prefix("checksum = ");
    lock_entry.lines().find_map(line)
}

/// What the workspace's manifest says of the function's profile and the one that it builds on.
fn profile(repository: &Repository) -> Result<String> {
    let manifest =
        fs::read_to_string(repository.path("Cargo.toml")).context("cannot read Cargo.toml")?;
    Ok(profile_lines(&manifest).join("\n"))
}

fn profile_lines(manifest: &str) -> Vec<&str> {
    let ours = ["release", PROFILE].map(|name| format!("[profile.{name}"));
    let mut is_ours = false;
    let mut lines = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_ours = ours.iter().any(|heading| line.starts_with(heading));
        }
        if is_ours && !line.is_empty() && !line.starts_with('#') {
            lines.push(line);
        }
    }
    lines
}

/// The compiler, but not the machine that it runs on.
fn compiler(repository: &Repository) -> Result<String> {
    let version = output(repository.command("rustc").arg("-vV"))?;
    let told = |line: &&str| !line.starts_with("host:");
    Ok(version.lines().filter(told).collect::<Vec<_>>().join("\n"))
}

/// The version of wasm-opt.
fn binaryen(repository: &Repository) -> Result<String> {
    let manifest = fs::read_to_string(repository.path("scripts/package.json"))
        .context("cannot read scripts/package.json")?;
    let line = manifest.lines().find(|line| line.contains("\"binaryen\""));
    let line = line.context("scripts/package.json does not name binaryen")?;
    Ok(line.trim().trim_end_matches(',').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_tree_loses_its_folder_and_nothing_else() {
        let ours = "supaqueue-core v0.1.0 (/some/where/crates/supaqueue-core) std";
        assert_eq!(without_folder(ours), "supaqueue-core v0.1.0 std");
        let macros = "serde_derive v1.0.229 (proc-macro) default";
        assert_eq!(without_folder(macros), macros);
        assert_eq!(name_and_version(ours), ("supaqueue-core", "0.1.0"));
    }

    #[test]
    fn the_profile_is_all_of_its_sections() {
        let manifest = "[workspace]\nresolver = 3\n\n# Small.\n[profile.wasm]\nlto = true\n\n\
                        [profile.wasm.package.sha2]\nopt-level = 3\n\n[profile.dev]\ndebug = 1\n";
        let want = [
            "[profile.wasm]",
            "lto = true",
            "[profile.wasm.package.sha2]",
            "opt-level = 3",
        ];
        assert_eq!(profile_lines(manifest), want);
    }

    #[test]
    fn a_checksum_is_found_by_name_and_version() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\
                    checksum = \"one\"\n\n[[package]]\nname = \"a\"\nversion = \"2.0.0\"\n\
                    source = \"registry\"\nchecksum = \"two\"\n";
        assert_eq!(checksum(lock, "a", "2.0.0"), Some("\"two\""));
        assert_eq!(checksum(lock, "a", "3.0.0"), None);
    }
}
