//! The programs that a stack runs but does not contain: where they are found, and how to get them.
//!
//! A user's project has them from npm, a clone of the repository from `./scripts/setup`. Nothing here
//! relies on the packages' install scripts, which package managers run only with permission.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde::Deserialize;

use crate::functions::check_deno;
use crate::postgres::major_of_postgres;
use crate::stack::PostgresSource;
use crate::{Error, Result};

/// A program that the stack runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// Postgres 15 or newer, with its contrib modules.
    Postgres,
    /// Deno 2, as the edge runtime is.
    Deno,
}

impl Program {
    /// The programs that a stack with this Postgres needs and that are not installed.
    #[must_use]
    pub fn missing(postgres: &PostgresSource) -> Vec<Self> {
        let is_missing = |program: &Self| match program {
            Self::Postgres => {
                *postgres == PostgresSource::Embedded
                    && env::var_os(POSTGRES_VARIABLE).is_none()
                    && find_postgres().is_none()
            }
            Self::Deno => env::var_os(DENO_VARIABLE).is_none() && find_deno().is_none(),
        };
        let mut programs = vec![Self::Postgres, Self::Deno];
        programs.retain(is_missing);
        programs
    }

    /// Its name in a sentence.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "Postgres",
            Self::Deno => "Deno",
        }
    }

    /// The npm package and its version, if npm has one for this machine.
    fn package(self) -> Option<String> {
        let platform = Platform::of_this_machine()?;
        Some(match self {
            Self::Postgres => format!("{}@{POSTGRES_VERSION}", platform.postgres_package()),
            Self::Deno => format!("deno@{DENO_VERSION}"),
        })
    }
}

pub(crate) const POSTGRES_VARIABLE: &str = "SUPAQUEUE_POSTGRES_BIN";
pub(crate) const DENO_VARIABLE: &str = "SUPAQUEUE_DENO";

// The versions in `scripts/package.json`.
const POSTGRES_VERSION: &str = "17.9.0-beta.17";
/// The version that the hosted edge runtime is compatible with.
const DENO_VERSION: &str = "2.1.4";

/// A package manager, and the project that it adds packages to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installer {
    /// The folder with the project's `package.json`, else the current folder.
    pub folder: PathBuf,
    manager: &'static str,
    is_workspace: bool,
}

impl Installer {
    /// That of the project in or above a folder.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        let has = |folder: &Path, file: &str| folder.join(file).is_file();
        let manager_of = |folder: &Path| {
            [
                ("pnpm-lock.yaml", "pnpm"),
                ("yarn.lock", "yarn"),
                ("bun.lock", "bun"),
                ("bun.lockb", "bun"),
                ("package-lock.json", "npm"),
            ]
            .into_iter()
            .find(|(file, _)| has(folder, file))
            .map(|(_, manager)| manager)
        };
        let project = folder
            .ancestors()
            .find(|folder| has(folder, "package.json"))
            .unwrap_or(folder);
        Self {
            folder: project.to_owned(),
            // In a workspace, the lock file is above the project.
            manager: project.ancestors().find_map(manager_of).unwrap_or("npm"),
            is_workspace: has(project, "pnpm-workspace.yaml"),
        }
    }

    /// The words of the command that adds programs to the project's development dependencies.
    ///
    /// `None` if npm does not have them for this machine.
    #[must_use]
    pub fn command(&self, programs: &[Program]) -> Option<Vec<String>> {
        let mut words = vec![self.manager];
        words.extend(match self.manager {
            "npm" => &["install", "--save-dev", "--save-exact"][..],
            "pnpm" => &["add", "--save-dev", "--save-exact"],
            _ => &["add", "--dev", "--exact"],
        });
        // pnpm asks for it, as a package at the root is often a mistake.
        words.extend((self.manager == "pnpm" && self.is_workspace).then_some("--workspace-root"));
        let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        for program in programs {
            words.push(program.package()?);
        }
        Some(words)
    }
}

/// What to do when programs are missing or do not run.
#[must_use]
pub fn remedy(programs: &[Program]) -> String {
    let here = env::current_dir().unwrap_or_default();
    if let Some(setup) = setup_of_clone(&here) {
        return format!("run {}", setup.display());
    }
    match Installer::of(&here).command(programs) {
        Some(command) => format!("run {}", command.join(" ")),
        None => "install Postgres 15 or newer, with its contrib modules, and Deno 2 \
                 (Alpine Linux: apk add postgresql17 postgresql17-contrib deno)"
            .into(),
    }
}

/// `./scripts/setup`, if the folder is in a clone of the repository.
#[must_use]
pub fn setup_of_clone(folder: &Path) -> Option<PathBuf> {
    folder
        .ancestors()
        .find(|folder| folder.join("crates/supaqueue-local").is_dir())
        .map(|clone| clone.join("scripts/setup"))
        .filter(|setup| setup.is_file())
}

/// Finds the folder with the programs of Postgres: in an npm package, else on PATH.
pub(crate) fn find_postgres() -> Option<PathBuf> {
    let packaged = Platform::of_this_machine().and_then(|platform| {
        let package = platform.postgres_package();
        node_modules()
            .map(|folder| folder.join(&package).join("native/bin"))
            .find(|bin| bin.join("postgres").is_file())
    });
    packaged.or_else(|| {
        let bin = which::which("postgres").ok()?.parent()?.to_owned();
        // Ignore one that is too old, so that npm's package is offered instead.
        let is_usable = bin.join("initdb").is_file() && major_of_postgres(&bin).is_ok();
        is_usable.then_some(bin)
    })
}

/// Finds Deno: in an npm package, else on PATH.
pub(crate) fn find_deno() -> Option<PathBuf> {
    let platform = Platform::of_this_machine();
    node_modules()
        .find_map(|folder| {
            // `deno-platform` is the version that a clone prefers.
            ["deno-platform", "deno"]
                .iter()
                .find_map(|name| deno_of_package(&folder.join(name), platform.as_ref()?))
        })
        .or_else(|| {
            let deno = which::which("deno").ok()?;
            check_deno(&deno).is_ok().then_some(deno)
        })
}

/// The program of the npm package `deno`, which it has in a dependency, and in its own folder too once
/// its install script has run.
fn deno_of_package(package: &Path, platform: &Platform) -> Option<PathBuf> {
    // pnpm links packages to a folder where their dependencies are beside them.
    let package = package.canonicalize().ok()?;
    let dependency = platform.deno_package();
    [
        package.join("deno"),
        package.join("node_modules").join(&dependency).join("deno"),
        package.parent()?.join(&dependency).join("deno"),
    ]
    .into_iter()
    .find(|program| program.is_file())
}

/// Every `node_modules` in and above the current folder, the package that cargo runs, and this
/// program, and in `scripts` beside them, where a clone has its own.
fn node_modules() -> impl Iterator<Item = PathBuf> {
    let starts = [
        env::current_dir().ok(),
        env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from),
        env::current_exe().ok(),
    ];
    let folders = starts.into_iter().flatten().flat_map(|start| {
        let ancestors: Vec<_> = start.ancestors().map(Path::to_owned).collect();
        ancestors
    });
    folders
        .flat_map(|folder| ["node_modules", "scripts/node_modules"].map(|name| folder.join(name)))
        .filter(|folder| folder.is_dir())
}

/// A machine in the words of Node.js.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Platform {
    os: &'static str,
    cpu: &'static str,
}

impl Platform {
    /// `None` if npm has no Postgres and no Deno for it.
    fn of_this_machine() -> Option<Self> {
        let os = match env::consts::OS {
            "macos" => "darwin",
            // This program may be linked to musl itself, but both packages need glibc.
            "linux" if has_glibc() => "linux",
            _ => return None,
        };
        let cpu = match env::consts::ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            _ => return None,
        };
        Some(Self { os, cpu })
    }

    fn postgres_package(self) -> String {
        format!("@embedded-postgres/{}-{}", self.os, self.cpu)
    }

    fn deno_package(self) -> String {
        let libc = if self.os == "linux" { "-glibc" } else { "" };
        format!("@deno/{}-{}{libc}", self.os, self.cpu)
    }
}

/// Whether programs that are linked to glibc run here: its loader is at a fixed place.
fn has_glibc() -> bool {
    ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"]
        .iter()
        .any(|loader| Path::new(loader).exists())
}

/// A link that an npm package has to create, because a package cannot contain links.
#[derive(Deserialize)]
struct Link {
    source: PathBuf,
    target: PathBuf,
}

/// Creates the links between the libraries of the Postgres package, as its install script does.
/// `bin` is the package's `native/bin`; other installations are left alone.
pub(crate) fn complete_postgres(bin: &Path) -> Result<()> {
    let Some(package) = bin.ancestors().nth(2) else {
        return Ok(());
    };
    let Ok(list) = fs::read(package.join("native/pg-symlinks.json")) else {
        return Ok(());
    };
    let links: Vec<Link> = serde_json::from_slice(&list).unwrap_or_default();
    for Link { source, target } in links {
        let target = package.join(target);
        let Some(name) = source.file_name().filter(|_| !target.exists()) else {
            continue;
        };
        match std::os::unix::fs::symlink(name, &target) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(Error::file("cannot create the link", target)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_are_those_that_everything_is_tested_with() {
        let list = include_str!("../../../scripts/package.json");
        let deno = format!("\"deno-platform\": \"npm:deno@{DENO_VERSION}\"");
        assert!(list.contains(&deno), "no {deno}");
        for cpu in ["x64", "arm64"] {
            for os in ["linux", "darwin"] {
                let package = Platform { os, cpu }.postgres_package();
                let postgres = format!("\"{package}\": \"{POSTGRES_VERSION}\"");
                assert!(list.contains(&postgres), "no {postgres}");
            }
        }
    }

    #[test]
    fn the_lock_file_tells_the_package_manager_and_package_json_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let here = root.join("app/supabase/functions");
        fs::create_dir_all(&here).unwrap();
        let check = |want: &str, folder: &Path| {
            let installer = Installer::of(&here);
            assert_eq!(installer.folder, folder, "{want}");
            let command = installer.command(&[]).unwrap().join(" ");
            assert_eq!(command, want);
        };
        check("npm install --save-dev --save-exact", &here);
        fs::write(root.join("app/package.json"), "{}").unwrap();
        let app = root.join("app");
        for (lock, want) in [
            (
                "app/package-lock.json",
                "npm install --save-dev --save-exact",
            ),
            ("app/bun.lockb", "bun add --dev --exact"),
            ("app/yarn.lock", "yarn add --dev --exact"),
            ("app/pnpm-lock.yaml", "pnpm add --save-dev --save-exact"),
        ] {
            fs::write(root.join(lock), "").unwrap();
            check(want, &app);
        }
        fs::write(app.join("pnpm-workspace.yaml"), "").unwrap();
        check("pnpm add --save-dev --save-exact --workspace-root", &app);
        for lock in [
            "package-lock.json",
            "bun.lockb",
            "yarn.lock",
            "pnpm-lock.yaml",
        ] {
            fs::remove_file(app.join(lock)).unwrap();
        }
        // The workspace's lock file, above the project.
        fs::write(root.join("bun.lock"), "").unwrap();
        check("bun add --dev --exact", &app);
    }

    #[test]
    fn deno_is_found_whether_its_install_script_ran_or_not() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        let platform = Platform {
            os: "linux",
            cpu: "x64",
        };
        let file = |path: &str| {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            path
        };
        let find = |package: &str| deno_of_package(&root.join(package), &platform);
        assert_eq!(find("npm/deno"), None);
        file("npm/deno/package.json");
        assert_eq!(find("npm/deno"), None);
        let beside = file("npm/@deno/linux-x64-glibc/deno");
        assert_eq!(find("npm/deno"), Some(beside));
        let nested = file("npm/deno/node_modules/@deno/linux-x64-glibc/deno");
        assert_eq!(find("npm/deno"), Some(nested));
        let own = file("npm/deno/deno");
        assert_eq!(find("npm/deno"), Some(own));

        file("pnpm/.pnpm/deno@1/node_modules/deno/package.json");
        let store = file("pnpm/.pnpm/deno@1/node_modules/@deno/linux-x64-glibc/deno");
        let link = root.join("pnpm/deno");
        std::os::unix::fs::symlink(".pnpm/deno@1/node_modules/deno", link).unwrap();
        assert_eq!(find("pnpm/deno"), Some(store));
    }
}
