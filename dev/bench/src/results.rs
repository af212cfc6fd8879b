//! Stores the results of a run; `docs/performance.md` summarizes them.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::Result;

/// Writes the report and the diagram of a run to `dev/bench/results`, or to a temporary folder if the
/// run was too short to be kept. All numbers go to `target/bench`, because they are too large for git.
pub(crate) fn write(
    name: &str,
    is_kept: bool,
    run: &impl Serialize,
    report: &str,
    draw: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()?;
    let numbers = root.join("target/bench");
    fs::create_dir_all(&numbers)?;
    let numbers = numbers.join(format!("{name}.json"));
    fs::write(&numbers, serde_json::to_string_pretty(run)? + "\n")?;
    println!("all numbers: {}", numbers.display());

    let folder = if is_kept {
        root.join("dev/bench/results")
    } else {
        std::env::temp_dir().join("supaqueue-bench")
    };
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(format!("{name}.md")), report)?;
    draw(&folder.join(format!("{name}.svg")))?;
    println!("report and diagram: {}", folder.display());
    if is_kept {
        println!("update docs/performance.md, which summarizes them");
    }
    Ok(())
}
