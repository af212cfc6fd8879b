//! The first migration, assembled from the schema's files.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use crate::repository::Repository;

const MIGRATION: &str = "sql/migrations/0001_supaqueue.sql";

const HEADER: &str = "\
-- The supaqueue schema, assembled from sql/schema by `cargo xtask sql build`: edit it there.
";

pub(crate) fn build(repository: &Repository) -> Result<()> {
    let path = repository.path(MIGRATION);
    fs::create_dir_all(repository.path("sql/migrations"))?;
    fs::write(&path, assemble(&schema(repository)?))
        .with_context(|| format!("cannot write {MIGRATION}"))?;
    println!("wrote {MIGRATION}");
    Ok(())
}

pub(crate) fn check(repository: &Repository) -> Result<()> {
    let committed = fs::read_to_string(repository.path(MIGRATION))
        .with_context(|| format!("cannot read {MIGRATION}"))?;
    if committed != assemble(&schema(repository)?) {
        bail!("{MIGRATION} is not what sql/schema says: run `cargo xtask sql build`");
    }
    println!("{MIGRATION} is what sql/schema says");
    Ok(())
}

/// Names and contents of the schema's files, in the order of their names.
fn schema(repository: &Repository) -> Result<Vec<(String, String)>> {
    let folder = repository.path("sql/schema");
    let entries = fs::read_dir(&folder).context("cannot read sql/schema")?;
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    ensure!(!paths.is_empty(), "sql/schema holds no .sql file");
    paths
        .into_iter()
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read sql/schema/{name}"))?;
            Ok((name.into_owned(), text))
        })
        .collect()
}

fn assemble(files: &[(String, String)]) -> String {
    let mut migration = HEADER.to_owned();
    for (name, text) in files {
        migration += &format!("\n-- {name}\n\n{}\n", text.trim());
    }
    migration
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_joined_in_order_under_their_names() {
        let files = [("01_a.sql", "select 1;\n"), ("02_b.sql", "\nselect 2;")];
        let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let want = format!("{HEADER}\n-- 01_a.sql\n\nselect 1;\n\n-- 02_b.sql\n\nselect 2;\n");
        assert_eq!(assemble(&files), want);
    }
}
