//! Unpacks the supaqueue function into a folder from which the stack serves it.

use std::path::Path;

use crate::{Error, Result};

/// Writes `functions/supaqueue` and `config.toml` to `folder`.
pub(crate) fn write(folder: &Path) -> Result<()> {
    let function = folder.join("functions/supaqueue");
    std::fs::create_dir_all(&function).map_err(Error::file("cannot create", &function))?;
    let config = (
        "../../config.toml",
        &b"[functions.supaqueue]\nverify_jwt = false\n"[..],
    );
    for (name, bytes) in supaqueue_files::function_files().chain([config]) {
        let path = function.join(name);
        std::fs::write(&path, bytes).map_err(Error::file("cannot write", &path))?;
    }
    Ok(())
}
