//! Compiles the crate to WebAssembly and JavaScript glue, with the same bytes in every clone.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use cargo_metadata::{Metadata, MetadataCommand};
use wasm_bindgen_cli_support::Bindgen;

use super::dependencies::dependencies;
use super::settings::{CRATE, PROFILE, TARGET, WASM_OPT};
use xtask::repository::{Repository, output, succeed};

/// The base name of the files that wasm-bindgen writes. The script refers to the types by it.
const NAME: &str = "supaqueue";

/// The output of wasm-bindgen and wasm-opt.
pub(super) struct Glue {
    pub(super) wasm: Vec<u8>,
    pub(super) script: String,
    pub(super) types: String,
}

/// Compiles the function.
pub(super) fn compile(repository: &Repository) -> Result<Glue> {
    let metadata = metadata(repository)?;
    build(repository, &metadata)?;

    let target_folder = metadata.target_directory.as_std_path();
    let built = target_folder.join(TARGET).join(PROFILE);
    let folder = target_folder.join("function");
    // Left by an earlier build, if there is one.
    let _ = fs::remove_dir_all(&folder);
    Bindgen::new()
        .input_path(built.join(CRATE.replace('-', "_")).with_extension("wasm"))
        .out_name(NAME)
        .web(true)?
        .typescript(true)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(&folder)
        .context("wasm-bindgen cannot generate the function's glue")?;
    ensure!(
        !folder.join("snippets").exists(),
        "the function has JavaScript snippets, which do not fit in a single module"
    );

    let wasm = folder.join(format!("{NAME}_bg.wasm"));
    optimize(repository, &wasm)?;
    let read = |extension| {
        let path = folder.join(NAME).with_extension(extension);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    Ok(Glue {
        wasm: fs::read(&wasm).context("cannot read the output of wasm-opt")?,
        script: read("js")?,
        types: read("d.ts")?,
    })
}

fn metadata(repository: &Repository) -> Result<Metadata> {
    let json = output(
        repository
            .cargo()
            .args(["metadata", "--locked", "--format-version", "1"])
            .args(["--filter-platform", TARGET]),
    )?;
    MetadataCommand::parse(json).context("cannot parse the output of cargo metadata")
}

fn build(repository: &Repository, metadata: &Metadata) -> Result<()> {
    let target_folder = metadata.target_directory.clone().into_std_path_buf();
    let flags: Vec<String> = remapped_folders(repository, metadata)?
        .into_iter()
        .chain([(target_folder, "target".to_owned())])
        .map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display()))
        .collect();
    let mut cargo = repository.cargo();
    // Build settings from the user's environment would change the bytes.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PROFILE_") || name.starts_with("WASM_BINDGEN_") {
            cargo.env_remove(&*name);
        }
    }
    cargo
        .args(["build", "--locked", "--quiet", "--package", CRATE])
        .args(["--target", TARGET, "--profile", PROFILE])
        // Allows spaces in paths, and takes precedence over every other source of flags.
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env("CARGO_INCREMENTAL", "0");
    succeed(&mut cargo)
}

/// Folders that appear in panic messages, and the names that replace them.
fn remapped_folders(
    repository: &Repository,
    metadata: &Metadata,
) -> Result<Vec<(PathBuf, String)>> {
    // Where several prefixes match, rustc applies the last.
    let mut folders = vec![(repository.root().to_owned(), "supaqueue".to_owned())];
    let sysroot = output(repository.command("rustc").args(["--print", "sysroot"]))?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust");
    folders.push((library, "rust".to_owned()));

    let linked = dependencies(repository)?;
    for package in &metadata.packages {
        let version = package.version.to_string();
        let is_linked = linked
            .iter()
            .any(|linked| *package.name == linked.name && version == linked.version);
        // Only our own crates have no source.
        if package.source.is_none() || !is_linked {
            continue;
        }
        let folder = package.manifest_path.parent();
        let folder = folder.context("the manifest has no parent folder")?;
        folders.push((folder.into(), format!("{}-{version}", package.name)));
    }
    Ok(folders)
}

fn optimize(repository: &Repository, wasm: &Path) -> Result<()> {
    let program = repository.node_modules().join("binaryen/bin/wasm-opt");
    let mut node = repository.command("node");
    node.arg(program)
        .args(WASM_OPT)
        .arg(wasm)
        .arg("-o")
        .arg(wasm);
    succeed(&mut node).context("./scripts/setup installs wasm-opt")
}
