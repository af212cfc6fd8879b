//! What Supaqueue installs, carried inside the program: it needs no checkout.

use std::path::Path;

use include_dir::{Dir, include_dir};

use crate::{Error, Result};

static MIGRATIONS: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../sql/migrations");
static FUNCTION: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../supabase/functions/supaqueue");

/// The migrations in the order in which they apply: file name and SQL.
pub fn migrations() -> Vec<(&'static str, &'static str)> {
    let mut migrations: Vec<_> = MIGRATIONS
        .files()
        .filter(|file| {
            file.path()
                .extension()
                .is_some_and(|extension| extension == "sql")
        })
        .filter_map(|file| Some((file.path().to_str()?, file.contents_utf8()?)))
        .collect();
    migrations.sort();
    migrations
}

/// The files of the supaqueue function: name and bytes.
pub fn function_files() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    FUNCTION
        .files()
        .filter_map(|file| Some((file.path().to_str()?, file.contents())))
}

/// Writes the supaqueue function to `functions/supaqueue` below `folder`, and its `config.toml`.
pub(crate) fn write_function(folder: &Path) -> Result<()> {
    let function = folder.join("functions/supaqueue");
    std::fs::create_dir_all(&function).map_err(Error::file("cannot make", &function))?;
    let config = (
        "../../config.toml",
        &b"[functions.supaqueue]\nverify_jwt = false\n"[..],
    );
    for (name, bytes) in function_files().chain([config]) {
        let path = function.join(name);
        std::fs::write(&path, bytes).map_err(Error::file("cannot write", &path))?;
    }
    Ok(())
}
