//! SQL files that are assembled from a schema's files: the newest migration, and the add-ons.

mod migrations;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};

use xtask::repository::Repository;

const ADD_ONS: &str = "sql/add-ons";

/// A file that users run, and the folder of which it is made.
struct Assembly {
    file: String,
    folder: String,
    text: String,
}

pub(crate) fn build(repository: &Repository) -> Result<()> {
    migrations::check_released(repository)?;
    for Assembly { file, text, .. } in assemblies(repository)? {
        fs::write(repository.path(&file), text).with_context(|| format!("cannot write {file}"))?;
        println!("wrote {file}");
    }
    Ok(())
}

pub(crate) fn check(repository: &Repository) -> Result<()> {
    println!("{}", migrations::check_released(repository)?);
    for Assembly { file, folder, text } in assemblies(repository)? {
        let committed = fs::read_to_string(repository.path(&file))
            .with_context(|| format!("cannot read {file}"))?;
        if committed != text {
            bail!("{file} is not what {folder} says: run `cargo xtask sql build`");
        }
        println!("{file} is what {folder} says");
    }
    Ok(())
}

/// Records that a migration is released: from now on it may not change.
pub(crate) fn release(repository: &Repository) -> Result<()> {
    check(repository)?;
    println!("released {}", migrations::release(repository)?);
    Ok(())
}

fn assemblies(repository: &Repository) -> Result<Vec<Assembly>> {
    let mut assemblies: Vec<_> = migrations::head(repository)?.into_iter().collect();
    for path in entries(repository, ADD_ONS)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let header = format!(
            "-- The add-on {}, assembled from schema/",
            name.replace('_', " ")
        );
        let folder = format!("{ADD_ONS}/{name}/schema");
        assemblies.push(Assembly {
            file: format!("{ADD_ONS}/{name}/add.sql"),
            text: assemble(&header, &texts(repository, &folder)?),
            folder,
        });
    }
    Ok(assemblies)
}

/// What is in a folder, in the order of the names.
fn entries(repository: &Repository, folder: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(repository.path(folder));
    let mut paths: Vec<PathBuf> = entries
        .with_context(|| format!("cannot read {folder}"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    Ok(paths)
}

/// The SQL files of a folder, in the order of their names: name and text.
fn texts(repository: &Repository, folder: &str) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for path in entries(repository, folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".sql") {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            files.push((name.into_owned(), text));
        }
    }
    ensure!(!files.is_empty(), "{folder} holds no .sql file");
    Ok(files)
}

fn assemble(header: &str, files: &[(String, String)]) -> String {
    let mut assembled = format!("{header} by `cargo xtask sql build`: edit it there.\n");
    for (name, text) in files {
        assembled += &section(name, text);
    }
    assembled
}

/// A file as it stands in what is assembled.
fn section(name: &str, text: &str) -> String {
    format!("\n-- {name}\n\n{}\n", text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_joined_in_order_under_their_names() {
        let files = [("01_a.sql", "select 1;\n"), ("02_b.sql", "\nselect 2;")];
        let files = files.map(|(name, text)| (name.to_owned(), text.to_owned()));
        let want = "-- From files by `cargo xtask sql build`: edit it there.\n\n\
                    -- 01_a.sql\n\nselect 1;\n\n-- 02_b.sql\n\nselect 2;\n";
        assert_eq!(assemble("-- From files", &files), want);
    }
}
