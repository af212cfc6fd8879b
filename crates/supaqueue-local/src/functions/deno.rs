//! Finds the Deno that stands for the edge runtime.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Error, Result};

/// Takes `named`, or what `SUPAQUEUE_DENO` names, or the version that `./scripts/setup` installs
/// because the platform is compatible with it, or else whichever is on PATH; and sees that it runs.
pub(crate) fn find(named: Option<PathBuf>) -> Result<PathBuf> {
    let named = named.or_else(|| std::env::var_os("SUPAQUEUE_DENO").map(PathBuf::from));
    let deno = match named {
        Some(named) => std::path::absolute(&named).map_err(Error::file("cannot find", &named))?,
        None => crate::find_upwards(Path::new("scripts/node_modules/deno-platform/deno"))
            .or_else(on_path)
            .ok_or_else(|| Error::NoDeno("none is installed".into()))?,
    };
    check(&deno)?;
    Ok(deno)
}

fn on_path() -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join("deno"))
        .find(|deno| deno.is_file())
}

/// Without this, a program that is not Deno is noticed at the first call of a function only.
fn check(deno: &Path) -> Result<()> {
    let broken = |why: &str| Error::NoDeno(format!("{} {}", deno.display(), why.trim()));
    let output = Command::new(deno)
        .arg("--version")
        .env("DENO_NO_UPDATE_CHECK", "1")
        .output()
        .map_err(|error| broken(&format!("does not run: {error}")))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && said.starts_with("deno ") {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(broken(&format!(
        "is not a Deno that runs: {said}{complaint}"
    )))
}
