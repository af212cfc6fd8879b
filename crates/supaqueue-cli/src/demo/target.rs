//! The demo's edge function, which the program carries with it.

use anyhow::{Context, Result};
use include_dir::{Dir, include_dir};
use tempfile::TempDir;

static FUNCTIONS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/demo-functions");

/// Writes the function to a folder that is removed when the value is dropped.
pub(super) fn unpack() -> Result<TempDir> {
    let folder = tempfile::Builder::new()
        .prefix("supaqueue-demo-")
        .tempdir()
        .context("cannot make a temporary folder")?;
    let functions = folder.path().join("functions");
    std::fs::create_dir(&functions)
        .and_then(|()| FUNCTIONS.extract(&functions))
        .with_context(|| format!("cannot write to {}", functions.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::queue::TARGET;

    #[test]
    fn the_target_is_in_the_program() {
        let folder = unpack().unwrap();
        assert!(
            folder
                .path()
                .join("functions")
                .join(TARGET)
                .join("index.ts")
                .is_file()
        );
    }
}
