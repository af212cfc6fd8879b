//! The hash of everything that the function is built from.
//!
//! It covers everything that can change the bytes, and nothing else: a change of a test or of another crate
//! of the workspace does not require a new build of the function.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use toml::{Table, Value};
use walkdir::WalkDir;

use super::dependencies::{Dependency, dependencies};
use super::module::LAYOUT;
use super::settings::{PROFILE, WASM_OPT};
use xtask::repository::{Repository, output};

/// The crates of the workspace that the function consists of.
const CRATES: [&str; 2] = ["crates/supaqueue-core", "crates/supaqueue-edge"];

/// The hash of everything that the function is built from, in hexadecimal.
pub(super) fn hash(repository: &Repository) -> Result<String> {
    let mut hash = Sha256::new();
    let mut add = |name: &str, content: &str| {
        // With the length, the end of one entry cannot pass for the start of the next.
        hash.update(format!("{name} {}\n", content.len()));
        hash.update(content);
    };
    for path in files(repository)? {
        let name = path.strip_prefix(repository.root()).unwrap_or(&path);
        let name = name.to_string_lossy().replace('\\', "/");
        // A checkout on Windows may have CRLF line endings.
        add(&name, &read(repository, &name)?.replace("\r\n", "\n"));
    }
    let lock = table(repository, "Cargo.lock")?;
    add(
        "dependencies",
        &with_checksums(&lock, &dependencies(repository)?),
    );
    add("profile", &profiles(&table(repository, "Cargo.toml")?));
    add("compiler", &compiler(repository)?);
    add("binaryen", &binaryen(repository)?);
    add("wasm-opt", &WASM_OPT.join(" "));
    add("layout", LAYOUT);
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

fn read(repository: &Repository, name: &str) -> Result<String> {
    fs::read_to_string(repository.path(name)).with_context(|| format!("cannot read {name}"))
}

fn table(repository: &Repository, name: &str) -> Result<Table> {
    read(repository, name)?
        .parse()
        .with_context(|| format!("cannot parse {name}"))
}

fn files(repository: &Repository) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in CRATES.map(|folder| repository.path(folder)) {
        files.push(folder.join("Cargo.toml"));
        files.extend(Some(folder.join("build.rs")).filter(|path| path.is_file()));
        for entry in WalkDir::new(folder.join("src")) {
            let entry = entry?;
            let is_test = entry.file_name().to_string_lossy().ends_with("tests.rs");
            if entry.file_type().is_file() && !is_test {
                files.push(entry.into_path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Each dependency with its features and its checksum, which our own crates do not have.
fn with_checksums(lock: &Table, dependencies: &[Dependency]) -> String {
    let lines = dependencies.iter().map(|dependency| {
        let Dependency {
            name,
            version,
            features,
        } = dependency;
        let checksum = checksum(lock, name, version).unwrap_or("ours");
        format!("{name} {version} {features} {checksum}\n")
    });
    lines.collect()
}

fn checksum<'a>(lock: &'a Table, name: &str, version: &str) -> Option<&'a str> {
    let packages = lock.get("package")?.as_array()?;
    let is_wanted = |package: &&Value| {
        let text = |key| package.get(key).and_then(Value::as_str);
        text("name") == Some(name) && text("version") == Some(version)
    };
    packages.iter().find(is_wanted)?.get("checksum")?.as_str()
}

/// The function's profile and the one that it inherits from.
fn profiles(manifest: &Table) -> String {
    let profile = |name| manifest.get("profile").and_then(|all| all.get(name));
    let text = |name| profile(name).map_or_else(String::new, Value::to_string);
    format!("{}\n{}", text("release"), text(PROFILE))
}

/// The version of the compiler, without the host it runs on.
fn compiler(repository: &Repository) -> Result<String> {
    let version = output(repository.command("rustc").arg("-vV"))?;
    let lines: Vec<_> = version
        .lines()
        .filter(|line| !line.starts_with("host:"))
        .collect();
    Ok(lines.join("\n"))
}

/// The version of wasm-opt.
fn binaryen(repository: &Repository) -> Result<String> {
    const MANIFEST: &str = "scripts/package.json";
    let manifest: serde_json::Value = serde_json::from_str(&read(repository, MANIFEST)?)
        .with_context(|| format!("cannot parse {MANIFEST}"))?;
    let version = manifest["devDependencies"]["binaryen"].as_str();
    let version = version.with_context(|| format!("{MANIFEST} does not list binaryen"))?;
    Ok(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_functions_profiles_are_hashed() {
        let manifest = |debug| -> Table {
            format!(
                "[profile.wasm]\nlto = true\n\n[profile.wasm.package.sha2]\nopt-level = 3\n\n\
                 [profile.dev]\ndebug = {debug}\n"
            )
            .parse()
            .unwrap()
        };
        let profiles = profiles(&manifest(1));
        assert!(profiles.contains("lto = true"), "{profiles}");
        assert!(profiles.contains("opt-level = 3"), "{profiles}");
        assert_eq!(profiles, super::profiles(&manifest(2)));
    }

    #[test]
    fn a_checksum_is_found_by_name_and_version() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\
                    checksum = \"one\"\n\n[[package]]\nname = \"a\"\nversion = \"2.0.0\"\n\
                    source = \"registry\"\nchecksum = \"two\"\n"
            .parse()
            .unwrap();
        assert_eq!(checksum(&lock, "a", "2.0.0"), Some("two"));
        assert_eq!(checksum(&lock, "a", "3.0.0"), None);
    }
}
