//! The npm packages: the launcher `supaqueue`, and one package per platform with the program, which
//! the launcher finds as an optional dependency.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::repository::{Repository, output, succeed};

const LAUNCHER: &str = "packages/supaqueue";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Every installation of the program downloads this much, at most.
const MAX_BYTES: u64 = 12_000_000;

/// The platforms that a release has packages for, as targets of the Rust compiler.
pub const TARGETS: [&str; 7] = [
    "aarch64-apple-darwin",
    "aarch64-unknown-linux-gnu",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "x86_64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
];

/// Builds the program for a target, by default this machine's, and packs it into `target/packages`.
///
/// # Errors
///
/// As [`pack`], the program does not compile, or it has become too large.
pub fn package(repository: &Repository, target: Option<&str>) -> Result<()> {
    let mut build = repository.cargo();
    build.args(["build", "--locked", "--release"]);
    build.args(["--package", "supaqueue-cli"]);
    build.args(target.iter().flat_map(|target| ["--target", target]));
    succeed(&mut build)?;
    let built = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| repository.path("target"), PathBuf::from);
    let platform = match target {
        Some(target) => Platform::of(target)?,
        None => Platform::of(&host(repository)?)?,
    };
    let program = built
        .join(target.unwrap_or_default())
        .join("release")
        .join(platform.program());
    let bytes = fs::metadata(&program)
        .context("cannot find the program")?
        .len();
    ensure!(
        bytes <= MAX_BYTES,
        "the program has {bytes} bytes, and {MAX_BYTES} are the limit"
    );
    println!("{} has {bytes} bytes", program.display());
    for tarball in pack(repository, platform, &program, &built.join("packages"))? {
        println!("wrote {}", tarball.display());
    }
    Ok(())
}

/// Packs the launcher, and the program that was built for a platform, and returns both tarballs.
///
/// # Errors
///
/// The launcher has another version than the program, or npm fails.
pub fn pack(
    repository: &Repository,
    platform: Platform,
    program: &Path,
    destination: &Path,
) -> Result<[PathBuf; 2]> {
    let launcher = repository.path(LAUNCHER);
    check_launcher(&launcher)?;
    let folder = destination.join(platform.name());
    fs::create_dir_all(folder.join("bin")).context("cannot create the platform's package")?;
    fs::write(folder.join("package.json"), platform.manifest())
        .context("cannot write package.json")?;
    let target = folder.join("bin").join(platform.program());
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

/// Checks that the launcher has this version and depends on exactly the packages of a release.
fn check_launcher(launcher: &Path) -> Result<()> {
    let manifest = fs::read_to_string(launcher.join("package.json"))
        .context("cannot read the launcher's package.json")?;
    ensure!(
        manifest.contains(&format!("\"version\": \"{VERSION}\"")),
        "{LAUNCHER}/package.json does not have version {VERSION}"
    );
    for target in TARGETS {
        let package = Platform::of(target)?.package();
        ensure!(
            manifest.contains(&format!("\"{package}\": \"{VERSION}\"")),
            "{LAUNCHER}/package.json does not depend on {package} {VERSION}"
        );
    }
    let count = manifest.matches("\"@supaqueue/").count();
    ensure!(
        count == TARGETS.len(),
        "{LAUNCHER}/package.json depends on packages that no release has"
    );
    Ok(())
}

/// The target that the compiler builds for by default.
///
/// # Errors
///
/// The compiler cannot be asked.
pub fn host(repository: &Repository) -> Result<String> {
    let text = output(repository.command("rustc").arg("-vV"))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc names no host")?.to_owned())
}

/// A platform in the words of Node.js.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Platform {
    os: &'static str,
    cpu: &'static str,
    libc: Option<&'static str>,
}

impl Platform {
    /// The platform of a target of the Rust compiler.
    ///
    /// # Errors
    ///
    /// No package is planned for it.
    pub fn of(target: &str) -> Result<Self> {
        let (os, libc) = match target.split_once('-') {
            Some((_, "unknown-linux-gnu")) => ("linux", Some("glibc")),
            Some((_, "unknown-linux-musl")) => ("linux", Some("musl")),
            Some((_, "apple-darwin")) => ("darwin", None),
            Some((_, "pc-windows-msvc" | "pc-windows-gnu")) => ("win32", None),
            _ => bail!("no package is planned for {target}"),
        };
        let cpu = match target.split('-').next() {
            Some("x86_64") => "x64",
            Some("aarch64") => "arm64",
            _ => bail!("no package is planned for {target}"),
        };
        Ok(Self { os, cpu, libc })
    }

    /// `linux-x64`, `linux-x64-musl`.
    fn name(self) -> String {
        let libc = match self.libc {
            Some("musl") => "-musl",
            _ => "",
        };
        format!("{}-{}{libc}", self.os, self.cpu)
    }

    fn package(self) -> String {
        format!("@supaqueue/{}", self.name())
    }

    fn program(self) -> &'static str {
        match self.os {
            "win32" => "supaqueue.exe",
            _ => "supaqueue",
        }
    }

    /// The `package.json`. Package managers skip the packages of other platforms by its `os`, `cpu`
    /// and `libc`.
    fn manifest(self) -> String {
        let Self { os, cpu, libc } = self;
        let package = self.package();
        let libc = libc.map_or(String::new(), |libc| format!("\n  \"libc\": [\"{libc}\"],"));
        format!(
            r#"{{
  "name": "{package}",
  "version": "{VERSION}",
  "description": "The program supaqueue for {name}. Install the package supaqueue instead.",
  "license": "MIT OR Apache-2.0",
  "repository": {{
    "type": "git",
    "url": "git+https://github.com/supaqueue/supaqueue.git"
  }},
  "os": ["{os}"],
  "cpu": ["{cpu}"],{libc}
  "preferUnplugged": true,
  "publishConfig": {{ "access": "public" }}
}}
"#,
            name = self.name()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_target_has_a_package_of_its_own() {
        let names = TARGETS.map(|target| Platform::of(target).unwrap().name());
        let want = [
            "darwin-arm64",
            "linux-arm64",
            "linux-arm64-musl",
            "darwin-x64",
            "win32-x64",
            "linux-x64",
            "linux-x64-musl",
        ];
        assert_eq!(names, want);
        assert!(Platform::of("riscv64gc-unknown-linux-gnu").is_err());
        assert!(Platform::of("x86_64-unknown-freebsd").is_err());
    }

    #[test]
    fn the_launcher_depends_on_every_package_and_the_release_builds_it() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        check_launcher(&root.join(LAUNCHER)).unwrap();
        let workflow = fs::read_to_string(root.join(".github/workflows/release.yml")).unwrap();
        for target in TARGETS {
            let line = format!("target: {target} }}");
            assert!(
                workflow.contains(&line),
                "release.yml does not build {target}"
            );
        }
        let count = workflow.matches("target: ").count();
        assert_eq!(count, TARGETS.len(), "release.yml builds other targets too");
    }
}
