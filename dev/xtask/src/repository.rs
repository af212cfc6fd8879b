//! Paths in the repository, and commands that run its programs.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A working copy of the repository.
pub struct Repository {
    root: PathBuf,
}

/// The versions of Deno that everything is tested with.
#[derive(Clone, Copy, Debug)]
pub enum Deno {
    /// The version that the hosted edge runtime is compatible with.
    Platform,
    /// The newest release, as pinned in `scripts/package.json`.
    Newest,
}

impl Deno {
    /// Both versions, the older one first.
    pub const BOTH: [Deno; 2] = [Deno::Platform, Deno::Newest];

    /// The npm package; `deno-platform` is an alias of an older `deno`.
    pub fn package(self) -> &'static str {
        match self {
            Deno::Platform => "deno-platform",
            Deno::Newest => "deno",
        }
    }
}

impl fmt::Display for Deno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Deno::Platform => "the platform's Deno",
            Deno::Newest => "the newest Deno",
        })
    }
}

impl Repository {
    /// The working copy from which cargo runs this program.
    ///
    /// # Errors
    ///
    /// If the program was not started by cargo.
    pub fn find() -> Result<Self> {
        // Read at run time: with a shared target directory, the compiled-in path may be another clone's.
        let package = std::env::var_os("CARGO_MANIFEST_DIR")
            .context("CARGO_MANIFEST_DIR is not set: run this as `cargo xtask`")?;
        let root = Path::new(&package)
            .ancestors()
            .nth(2)
            .context("the package is not two folders below the root of the repository")?;
        Ok(Self { root: root.into() })
    }

    /// The root folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path below the root folder.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The installed npm packages of `scripts/package.json`.
    pub fn node_modules(&self) -> PathBuf {
        self.path("scripts/node_modules")
    }

    /// The folder of programs that cargo installed for this repository only.
    pub fn tools(&self) -> PathBuf {
        self.path(".tools")
    }

    /// A program in `.tools/bin`.
    pub fn tool(&self, name: &str) -> PathBuf {
        let name = format!("{name}{}", std::env::consts::EXE_SUFFIX);
        self.tools().join("bin").join(name)
    }

    /// The Deno executable itself rather than its npm wrapper.
    pub fn deno(&self, version: Deno) -> PathBuf {
        let name = format!("deno{}", std::env::consts::EXE_SUFFIX);
        self.node_modules().join(version.package()).join(name)
    }

    /// A command that runs `program` in the root folder.
    pub fn command(&self, program: impl Into<OsString>) -> Command {
        let mut command = Command::new(program.into());
        command.current_dir(&self.root);
        command
    }

    /// A command that runs cargo in the root folder.
    pub fn cargo(&self) -> Command {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.command(cargo);
        // Cargo set these for this package; they are wrong for others.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&*name);
            }
        }
        command
    }

    /// A command that runs Deno in the root folder, with its cache inside the repository.
    pub fn deno_command(&self, version: Deno) -> Command {
        let mut command = self.command(self.deno(version));
        command
            .env("DENO_DIR", self.tools().join(version.package()))
            .env("DENO_NO_UPDATE_CHECK", "1")
            .env("NO_COLOR", "1");
        command
    }
}

/// Runs a command.
///
/// # Errors
///
/// If the command cannot be started or does not exit with 0.
pub fn succeed(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", name(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", name(command));
    }
    Ok(())
}

/// Runs a command and returns its stdout; its stderr is inherited.
///
/// # Errors
///
/// If the command cannot be started, does not exit with 0, or prints invalid UTF-8.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", name(command)))?;
    if !output.status.success() {
        bail!("{} failed ({})", name(command), output.status);
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("the output of {} is not UTF-8", name(command)))
}

/// The program and its first argument, which is enough to identify the command.
fn name(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args().take(1));
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}
