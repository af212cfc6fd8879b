//! Finds the Deno that emulates the edge runtime.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::programs::{DENO_VARIABLE, find_deno};
use crate::{Error, Result};

/// The oldest major version, which is the one of the edge runtime.
const OLDEST: u32 = 2;

/// Finds Deno and checks that it runs: `deno` if given, else `SUPAQUEUE_DENO`, else the one that npm
/// installed, else the one on PATH.
pub(crate) fn find(deno: Option<PathBuf>) -> Result<PathBuf> {
    let named = deno.or_else(|| std::env::var_os(DENO_VARIABLE).map(PathBuf::from));
    let deno = match named {
        Some(named) => std::path::absolute(&named).map_err(Error::file("cannot find", &named))?,
        None => find_deno().ok_or_else(|| Error::NoDeno("it is not installed".into()))?,
    };
    check(&deno)?;
    Ok(deno)
}

/// Fails early: otherwise an unusable program would be noticed only at the first call.
pub(crate) fn check(deno: &Path) -> Result<()> {
    let unusable = |why: &str| Error::NoDeno(format!("{} {}", deno.display(), why.trim()));
    let output = Command::new(deno)
        .arg("--version")
        .env("DENO_NO_UPDATE_CHECK", "1")
        .output()
        .map_err(|error| unusable(&format!("does not run: {error}")))?;
    // "deno 2.1.4 (stable, release, x86_64-unknown-linux-gnu)"
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text
        .strip_prefix("deno ")
        .filter(|_| output.status.success())
        .and_then(|text| text.split_whitespace().next());
    let Some(version) = version else {
        let error = String::from_utf8_lossy(&output.stderr);
        return Err(unusable(&format!("is not a working Deno: {text}{error}")));
    };
    match version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok())
    {
        Some(OLDEST..) => Ok(()),
        _ => Err(unusable(&format!(
            "is version {version}, and {OLDEST} is the oldest that works"
        ))),
    }
}
