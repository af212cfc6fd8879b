//! Finds the Postgres programs and the user to run them as.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::unistd::{Uid, User as Account, geteuid};

use crate::process::User;
use crate::programs::{POSTGRES_VARIABLE, complete_postgres, find_postgres};
use crate::{Error, Result};

/// The oldest major version that the schema works with.
const OLDEST: u32 = 15;

/// A Postgres installation, and the user to run it as.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// The folder that contains `postgres` and `initdb`.
    pub(super) bin: PathBuf,
    /// `None` for the current user.
    pub(super) user: Option<User>,
    /// The major version.
    pub(super) major: u32,
}

impl Program {
    /// Finds Postgres in `bin`, `SUPAQUEUE_POSTGRES_BIN`, the package that npm installed, or on PATH,
    /// and makes sure that the user it runs as can read it.
    pub(super) fn find(bin: Option<&Path>) -> Result<Self> {
        let named = bin
            .map(Path::to_path_buf)
            .or_else(|| std::env::var_os(POSTGRES_VARIABLE).map(PathBuf::from));
        let bin = match named {
            Some(bin) => bin,
            None => {
                find_postgres().ok_or_else(|| Error::NoPostgres("it is not installed".into()))?
            }
        };
        let bin = std::path::absolute(&bin).map_err(Error::file("cannot find", &bin))?;
        for program in ["postgres", "initdb"] {
            if !bin.join(program).is_file() {
                return Err(Error::NoPostgres(format!(
                    "{} does not contain `{program}`",
                    bin.display()
                )));
            }
        }
        complete_postgres(&bin)?;
        if !geteuid().is_root() {
            return Ok(Self {
                major: major_of_postgres(&bin)?,
                bin,
                user: None,
            });
        }
        // Postgres refuses to run as root.
        let user = unprivileged()?;
        let bin = if is_public(&bin.join("postgres")) {
            bin
        } else {
            copy_to_cache(&bin)?
        };
        Ok(Self {
            major: major_of_postgres(&bin)?,
            bin,
            user: Some(user),
        })
    }
}

/// The version that `postgres` reports. This also checks that it runs, and is not too old.
pub(crate) fn major_of_postgres(bin: &Path) -> Result<u32> {
    let program = bin.join("postgres");
    let name = program.display().to_string();
    let output = Command::new(&program)
        .arg("--version")
        .output()
        .map_err(|cause| Error::Process {
            program: name.clone(),
            cause,
        })?;
    // "postgres (PostgreSQL) 17.9 (Debian …)"
    let text = String::from_utf8_lossy(&output.stdout);
    let major = text
        .split_once("(PostgreSQL) ")
        .and_then(|(_, version)| version.split(|c: char| !c.is_ascii_digit()).next())
        .and_then(|major| major.parse().ok())
        .ok_or_else(|| {
            let said = String::from_utf8_lossy(&output.stderr);
            Error::NoPostgres(format!(
                "{name} does not run: {}{}",
                text.trim(),
                said.trim()
            ))
        })?;
    match major {
        OLDEST.. => Ok(major),
        _ => Err(Error::NoPostgres(format!(
            "{name} is version {major}, and {OLDEST} is the oldest that works"
        ))),
    }
}

/// The unprivileged account that runs Postgres when we are root.
fn unprivileged() -> Result<User> {
    ["nobody", "postgres", "daemon"]
        .into_iter()
        .filter_map(|name| Account::from_name(name).ok().flatten())
        .find(|account| account.uid != Uid::from_raw(0))
        .map(|account| User { uid: account.uid.as_raw(), gid: account.gid.as_raw() })
        .ok_or_else(|| {
            Error::Invalid(
                "cannot run Postgres as root, and user `nobody` does not exist; run this as an ordinary user"
                    .into(),
            )
        })
}

/// Whether every user can read `file` and its folders.
fn is_public(file: &Path) -> bool {
    let Ok(file) = file.canonicalize() else {
        return false;
    };
    file.ancestors().all(|path| {
        path.metadata()
            .is_ok_and(|found| found.permissions().mode() & 0o005 == 0o005)
    })
}

/// Copies the programs to a folder that every user can read, once per version.
fn copy_to_cache(bin: &Path) -> Result<PathBuf> {
    let unreachable = || {
        Error::Invalid(format!(
            "cannot run {} as an ordinary user, and Postgres does not run as root; make its folder readable for all users, or run this as an ordinary user",
            bin.display()
        ))
    };
    // A relocatable Postgres has `bin`, `lib` and `share` side by side.
    let home = bin
        .parent()
        .filter(|home| home.join("share").is_dir())
        .ok_or_else(unreachable)?;
    let program = bin.join("postgres");
    let metadata = program
        .metadata()
        .map_err(Error::file("cannot read", &program))?;
    let cache = ["/var/cache", "/var/tmp"]
        .map(PathBuf::from)
        .into_iter()
        .find(|folder| folder.is_dir() && is_public(folder))
        .ok_or_else(unreachable)?
        .join("supaqueue");
    std::fs::create_dir_all(&cache).map_err(Error::file("cannot create", &cache))?;
    let owner = cache
        .metadata()
        .map_err(Error::file("cannot read", &cache))?;
    if owner.uid() != 0 || owner.permissions().mode() & 0o022 != 0 {
        // Otherwise another user could have put a program there.
        return Err(Error::Invalid(format!(
            "cannot use {}: it must belong to root and be writable only by root",
            cache.display()
        )));
    }
    // Two builds differ in size or modification time.
    let copy = cache.join(format!("postgres-{}-{}", metadata.size(), metadata.mtime()));
    if !copy.is_dir() {
        let fresh = cache.join(format!(".copying-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&fresh);
        run(Command::new("cp").arg("-RP").arg(home).arg(&fresh))?;
        run(Command::new("chmod").args(["-R", "a+rX"]).arg(&fresh))?;
        if std::fs::rename(&fresh, &copy).is_err() {
            // Another process was first.
            let _ = std::fs::remove_dir_all(&fresh);
        }
    }
    Ok(copy.join("bin"))
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|cause| Error::Process {
        program: program.clone(),
        cause,
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "cannot copy Postgres: {program}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    )))
}
