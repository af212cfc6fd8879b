//! The migrations: those that are released never change, and the one after them, the head, brings
//! what they installed to what `sql/schema` says.
//!
//! The head is assembled from the schema's files that differ from what the released migrations
//! hold of them, and from the privileges, which cover whatever is new. So each of those files has
//! to give the same on an empty database and on one that has its older text: functions, views and
//! triggers by `create or replace`; a table by an `alter table … add column if not exists` behind
//! its `create table if not exists`, which stays as it was released; what is gone by
//! `drop … if exists`. `02_version.sql` holds the head's number.
//!
//! `sql/migrations/released.sha256` lists the released ones as `sha256sum` writes it. To begin a
//! new head after a release: an empty `sql/migrations/<number>_<what>.sql`, the number in
//! `02_version.sql`, then `cargo xtask sql build`.

use std::fs;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use super::{Assembly, assemble, section, texts};
use xtask::repository::Repository;

const FOLDER: &str = "sql/migrations";
const SCHEMA: &str = "sql/schema";
const RELEASED: &str = "sql/migrations/released.sha256";

/// What goes with every head: it covers the functions and tables that are new.
const PRIVILEGES: &str = "90_privileges.sql";

/// The released migrations are what they were when they were released.
pub(super) fn check_released(repository: &Repository) -> Result<String> {
    let files = texts(repository, FOLDER)?;
    let lines = released_lines(repository)?;
    for (line, (name, text)) in lines.iter().zip(&files) {
        ensure!(
            *line == entry(name, text),
            "{FOLDER}/{name} is released and may not change, or the list {RELEASED} is out of \
             order: restore it, and put the change into {SCHEMA}"
        );
    }
    ensure!(
        lines.len() <= files.len(),
        "{RELEASED} lists {} migrations, {FOLDER} has {}",
        lines.len(),
        files.len()
    );
    Ok(format!("{} released migrations are unchanged", lines.len()))
}

/// The migration that is not released yet, if the schema's files are ahead of those that are.
pub(super) fn head(repository: &Repository) -> Result<Option<Assembly>> {
    let files = texts(repository, FOLDER)?;
    let (released, heads) = files.split_at(released_lines(repository)?.len().min(files.len()));
    let released: Vec<&str> = released.iter().map(|(_, text)| text.as_str()).collect();
    let schema = texts(repository, SCHEMA)?;
    let changed = changed(&released, &schema);
    match heads {
        [] if changed.is_empty() => Ok(None),
        [] => bail!(
            "{} differ from what is released: begin a migration {FOLDER}/{:04}_<what>.sql, and \
             put its number into 02_version.sql",
            names(&changed),
            files.len() + 1
        ),
        [(name, _)] => {
            ensure!(!changed.is_empty(), "{FOLDER}/{name} changes nothing");
            let number = files.len();
            ensure!(
                name.starts_with(&format!("{number:04}_")),
                "{FOLDER}/{name} is migration {number}"
            );
            let numbered = format!("(number) values ({number})");
            ensure!(
                changed.iter().any(|(_, text)| text.contains(&numbered)),
                "02_version.sql does not say {number}"
            );
            let header = format!(
                "-- From version {} to {number}: what changed in sql/schema, assembled",
                number - 1
            );
            Ok(Some(Assembly {
                file: format!("{FOLDER}/{name}"),
                folder: SCHEMA.to_owned(),
                text: assemble(&header, &changed),
            }))
        }
        _ => bail!("only the last migration may be missing from {RELEASED}"),
    }
}

/// Adds the head to the released ones; its name.
pub(super) fn release(repository: &Repository) -> Result<String> {
    let files = texts(repository, FOLDER)?;
    let mut lines = released_lines(repository)?;
    let Some((name, text)) = files.get(lines.len()) else {
        bail!("every migration is released already");
    };
    lines.push(entry(name, text));
    fs::write(repository.path(RELEASED), lines.join("\n") + "\n")
        .with_context(|| format!("cannot write {RELEASED}"))?;
    Ok(name.clone())
}

fn released_lines(repository: &Repository) -> Result<Vec<String>> {
    let text = fs::read_to_string(repository.path(RELEASED))
        .with_context(|| format!("cannot read {RELEASED}"))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// A file's line as `sha256sum` writes it.
fn entry(name: &str, text: &str) -> String {
    let digest: String = Sha256::digest(text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{digest}  {name}")
}

/// The schema's files of which the released migrations hold no text, or an older one.
fn changed(released: &[&str], schema: &[(String, String)]) -> Vec<(String, String)> {
    let is_released = |(name, text): &&(String, String)| {
        let title = format!("\n-- {name}\n\n");
        released
            .iter()
            .rev()
            .find_map(|migration| migration.find(&title).map(|at| &migration[at..]))
            .is_some_and(|newest| {
                let section = section(name, text);
                newest
                    .strip_prefix(section.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with("\n-- "))
            })
    };
    if schema.iter().all(|file| is_released(&file)) {
        return Vec::new();
    }
    let goes_along = |file: &&(String, String)| file.0 == PRIVILEGES || !is_released(file);
    schema.iter().filter(goes_along).cloned().collect()
}

fn names(files: &[(String, String)]) -> String {
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(files: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
        files.iter().map(own).collect()
    }

    #[test]
    fn a_head_holds_what_changed_and_the_privileges() {
        let first = schema(&[("01_a.sql", "a"), ("02_b.sql", "b"), (PRIVILEGES, "p")]);
        let released = assemble("-- 1", &first);
        for (now, want) in [
            (first.clone(), vec![]),
            (
                schema(&[("01_a.sql", "a"), ("02_b.sql", "b2"), (PRIVILEGES, "p")]),
                vec!["02_b.sql", PRIVILEGES],
            ),
            (
                schema(&[("01_a.sql", "a"), ("02_b.sql", "b\n\nb"), (PRIVILEGES, "p")]),
                vec!["02_b.sql", PRIVILEGES],
            ),
            (
                schema(&[
                    ("01_a.sql", "a"),
                    ("02_b.sql", "b"),
                    ("03_c.sql", "c"),
                    (PRIVILEGES, "p"),
                ]),
                vec!["03_c.sql", PRIVILEGES],
            ),
        ] {
            let changed = changed(&[&released], &now);
            let names: Vec<_> = changed.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, want);
        }
    }

    #[test]
    fn a_file_is_compared_with_its_newest_release() {
        let first = schema(&[("01_a.sql", "a"), (PRIVILEGES, "p")]);
        let second = schema(&[("01_a.sql", "a2"), (PRIVILEGES, "p")]);
        let released = [assemble("-- 1", &first), assemble("-- 2", &second)];
        let released: Vec<&str> = released.iter().map(String::as_str).collect();
        assert!(changed(&released, &second).is_empty());
        assert_eq!(changed(&released, &first), first);
    }

    #[test]
    fn an_entry_is_as_sha256sum_writes_it() {
        assert_eq!(
            entry("0001_a.sql", "abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  0001_a.sql"
        );
    }
}
