//! From Rust to WebAssembly and its glue, the same bytes in every clone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use wasm_bindgen_cli_support::Bindgen;

use super::sources::name_and_version;
use xtask::repository::{Repository, output, succeed};

pub(super) const CRATE: &str = "supaqueue-edge";
pub(super) const TARGET: &str = "wasm32-unknown-unknown";
pub(super) const PROFILE: &str = "wasm";

/// What wasm-opt is told: to make the module small, and which features it may use.
///
/// The features are those that Rust's target has by default and the platform's V8
/// understands; a stripped module does not name them itself.
pub(super) const WASM_OPT: [&str; 9] = [
    "-Oz",
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
    "--strip-debug",
    "--strip-producers",
];

/// What wasm-bindgen makes of the crate.
pub(super) struct Glue {
    pub(super) wasm: Vec<u8>,
    pub(super) script: String,
    pub(super) types: String,
}

/// Compiles the function.
pub(super) fn compile(repository: &Repository) -> Result<Glue> {
    let metadata = metadata(repository)?;
    let target_folder = metadata["target_directory"].as_str();
    let target_folder = Path::new(target_folder.context("cargo metadata names no target folder")?);
    build(repository, &metadata, target_folder)?;

    let name = CRATE.replace('-', "_");
    let built = target_folder.join(TARGET).join(PROFILE);
    let folder = target_folder.join("function");
    let _ = fs::remove_dir_all(&folder);
    Bindgen::new()
        .input_path(built.join(&name).with_extension("wasm"))
        .web(true)?
        .typescript(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(&folder)
        .context("wasm-bindgen cannot make the function's glue")?;
    ensure!(
        !folder.join("snippets").exists(),
        "the function has JavaScript snippets, which one module cannot hold"
    );

    let wasm = folder.join(format!("{name}_bg.wasm"));
    optimise(repository, &wasm)?;
    let read = |extension| {
        let path = folder.join(&name).with_extension(extension);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    Ok(Glue {
        wasm: fs::read(&wasm).context("cannot read what wasm-opt wrote")?,
        script: read("js")?,
        types: read("d.ts")?,
    })
}

fn metadata(repository: &Repository) -> Result<Value> {
    let metadata = output(
        repository
            .cargo()
            .args(["metadata", "--locked", "--format-version", "1"])
            .args(["--filter-platform", TARGET]),
    )?;
    serde_json::from_str(&metadata).context("cargo metadata printed something strange")
}

fn build(repository: &Repository, metadata: &Value, target_folder: &Path) -> Result<()> {
    let generated = (target_folder.to_owned(), "target".to_owned());
    let flags: Vec<String> = renamed_folders(repository, metadata)?
        .into_iter()
        .chain([generated])
        .map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display()))
        .collect();
    let mut cargo = repository.cargo();
    // The user's own settings for builds would show in the bytes.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PROFILE_") || name.starts_with("WASM_BINDGEN_") {
            cargo.env_remove(&*name);
        }
    }
    cargo
        .args(["build", "--locked", "--quiet", "--package", CRATE])
        .args(["--target", TARGET, "--profile", PROFILE])
        // This form allows for spaces in paths, and goes before all other settings of flags.
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("CARGO_INCREMENTAL", "0");
    succeed(&mut cargo)
}

/// Folders whose paths panics would name, and what to call them instead.
fn renamed_folders(repository: &Repository, metadata: &Value) -> Result<Vec<(PathBuf, String)>> {
    // A later one goes before an earlier one where both fit.
    let mut folders = vec![(repository.root().to_owned(), "supaqueue".to_owned())];
    let sysroot = output(repository.command("rustc").args(["--print", "sysroot"]))?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust");
    folders.push((library, "rust".to_owned()));

    let tree = output(
        repository
            .cargo()
            .args(["tree", "--locked", "--package", CRATE, "--target", TARGET])
            .args(["--edges", "normal,build", "--prefix", "none"]),
    )?;
    let linked: Vec<_> = tree.lines().map(name_and_version).collect();
    let packages = metadata["packages"].as_array();
    for package in packages.context("cargo metadata lists no packages")? {
        let text = |key: &str| package[key].as_str().unwrap_or_default();
        let (name, version) = (text("name"), text("version"));
        let ours = package["source"].is_null();
        if ours || !linked.contains(&(name, version)) {
            continue;
        }
        let manifest = Path::new(text("manifest_path"));
        let folder = manifest.parent().context("a manifest without a folder")?;
        folders.push((folder.to_owned(), format!("{name}-{version}")));
    }
    Ok(folders)
}

fn optimise(repository: &Repository, wasm: &Path) -> Result<()> {
    let program = repository.node_modules().join("binaryen/bin/wasm-opt");
    let mut node = Command::new("node");
    node.arg(program)
        .args(WASM_OPT)
        .arg(wasm)
        .arg("-o")
        .arg(wasm);
    succeed(&mut node).context("wasm-opt comes with ./scripts/setup")
}
