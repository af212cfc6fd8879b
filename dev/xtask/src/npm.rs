//! The npm packages: the launcher `supaqueue`, and the program for one platform, which the launcher
//! finds as an optional dependency.

use std::env::consts::{ARCH, EXE_SUFFIX, OS};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::repository::{Repository, output, succeed};

const LAUNCHER: &str = "packages/supaqueue";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Every installation of the program downloads this much, at most.
const MAX_BYTES: u64 = 12_000_000;

/// Builds the program and packs it for this platform into `target/packages`.
///
/// # Errors
///
/// As [`pack`], the program does not compile, or it has become too large.
pub fn package(repository: &Repository) -> Result<()> {
    let mut build = repository.cargo();
    build.args(["build", "--locked", "--release"]);
    // Not in Cargo.toml: the function's profile inherits from this one.
    build.args(["--config", "profile.release.strip=true"]);
    build.args(["--package", "supaqueue-cli"]);
    succeed(&mut build)?;
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| repository.path("target"), PathBuf::from);
    let program = target.join(format!("release/supaqueue{EXE_SUFFIX}"));
    let bytes = fs::metadata(&program)
        .context("cannot find the program")?
        .len();
    ensure!(
        bytes <= MAX_BYTES,
        "the program has {bytes} bytes, and {MAX_BYTES} are the limit"
    );
    println!("{} has {bytes} bytes", program.display());
    for tarball in pack(repository, &program, &target.join("packages"))? {
        println!("wrote {}", tarball.display());
    }
    Ok(())
}

/// Packs the launcher and `program`, which was built for this platform, and returns both tarballs.
///
/// # Errors
///
/// The launcher has another version than the program, no package is planned for this platform, or
/// npm fails.
pub fn pack(repository: &Repository, program: &Path, destination: &Path) -> Result<[PathBuf; 2]> {
    let launcher = repository.path(LAUNCHER);
    let manifest = fs::read_to_string(launcher.join("package.json"))
        .context("cannot read the launcher's package.json")?;
    ensure!(
        manifest.contains(&format!("\"version\": \"{VERSION}\"")),
        "{LAUNCHER}/package.json does not have version {VERSION}"
    );
    let (os, cpu) = platform()?;
    let name = format!("@supaqueue/{os}-{cpu}");
    ensure!(
        manifest.contains(&format!("\"{name}\": \"{VERSION}\"")),
        "{LAUNCHER}/package.json does not depend on {name} {VERSION}"
    );

    let folder = destination.join(format!("{os}-{cpu}"));
    fs::create_dir_all(folder.join("bin")).context("cannot create the platform's package")?;
    let libc = match OS {
        "linux" => "\n  \"libc\": [\"glibc\"],",
        _ => "",
    };
    let manifest = format!(
        r#"{{
  "name": "{name}",
  "version": "{VERSION}",
  "description": "The program supaqueue for {os} {cpu}",
  "license": "MIT OR Apache-2.0",
  "repository": "github:supaqueue/supaqueue",
  "os": ["{os}"],
  "cpu": ["{cpu}"],{libc}
  "preferUnplugged": true
}}
"#
    );
    fs::write(folder.join("package.json"), manifest).context("cannot write package.json")?;
    let target = folder.join(format!("bin/supaqueue{EXE_SUFFIX}"));
    fs::copy(program, target).with_context(|| format!("cannot copy {}", program.display()))?;
    for license in ["LICENSE-MIT", "LICENSE-APACHE"] {
        fs::copy(repository.path(license), folder.join(license))
            .with_context(|| format!("cannot copy {license}"))?;
    }

    let pack = |folder: &Path| -> Result<PathBuf> {
        let file = output(
            repository
                .command("npm")
                .args(["pack", "--silent", "--pack-destination"])
                .args([destination, folder]),
        )?;
        Ok(destination.join(file.trim()))
    };
    Ok([pack(&launcher)?, pack(&folder)?])
}

/// This platform in the words of Node.js.
fn platform() -> Result<(&'static str, &'static str)> {
    let os = match OS {
        "linux" => "linux",
        "macos" => "darwin",
        "windows" => "win32",
        other => bail!("no package is planned for {other}"),
    };
    let cpu = match ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => bail!("no package is planned for {other}"),
    };
    Ok((os, cpu))
}
