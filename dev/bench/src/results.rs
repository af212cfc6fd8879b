//! Stores the results of a run; `docs/performance.md` summarizes them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Result;

/// The name of a run in which each request through the gateway took longer.
pub(crate) fn name(benchmark: &str, hop: Duration) -> String {
    match hop.as_millis() {
        0 => benchmark.to_owned(),
        ms => format!("{benchmark}-hop-{ms}"),
    }
}

/// The file with all numbers of a run; they are too large for git.
fn numbers(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../target/bench")
        .join(format!("{name}.json"))
}

/// The numbers that were stored last, if there are any.
pub(crate) fn load<T: DeserializeOwned + Default>(name: &str) -> Result<T> {
    match fs::read(numbers(name)) {
        Ok(json) => Ok(serde_json::from_slice(&json)?),
        Err(_) => Ok(T::default()),
    }
}

/// Stores numbers.
pub(crate) fn store(name: &str, numbers_of_run: &impl Serialize) -> Result<()> {
    let file = numbers(name);
    fs::create_dir_all(file.parent().ok_or("the file has no folder")?)?;
    fs::write(&file, serde_json::to_string_pretty(numbers_of_run)? + "\n")?;
    println!("all numbers: {}", file.display());
    Ok(())
}

/// Writes the report of a run to `dev/bench/results`, or to a temporary folder if the run was too short to
/// be kept. Returns the path for its diagram.
pub(crate) fn write(
    name: &str,
    is_kept: bool,
    run: &impl Serialize,
    report: &str,
) -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()?;
    store(name, run)?;

    let folder = if is_kept {
        root.join("dev/bench/results")
    } else {
        std::env::temp_dir().join("supaqueue-bench")
    };
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("{name}.md")), report)?;
    println!("report: {}/{name}.md", folder.display());
    if is_kept {
        println!("update docs/performance.md, which summarizes them");
    }
    Ok(folder.join(format!("{name}.svg")))
}
