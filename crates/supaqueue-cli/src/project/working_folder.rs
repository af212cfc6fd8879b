//! The user's own `supabase` folder: migrations, functions, `config.toml`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use supaqueue_files::{core, function_files};
use toml_edit::{DocumentMut, Item, Value};

use super::hosted::FUNCTION;
use crate::problem::Problem;

/// A project's `supabase` folder.
#[derive(Debug, Clone)]
pub(crate) struct WorkingFolder(PathBuf);

/// The error where one is needed and there is none.
pub(crate) fn missing() -> anyhow::Error {
    Problem::error(
        "there is no supabase folder here or above",
        "Go to the project's folder, name it with --workdir, or make one with `supabase init`.",
    )
}

impl WorkingFolder {
    /// The one below `folder`, or else below this folder or the nearest above it.
    pub(crate) fn find(folder: Option<&Path>) -> Option<Self> {
        let is_one = |folder: &Path| {
            let supabase = folder.join("supabase");
            supabase
                .join("config.toml")
                .is_file()
                .then_some(Self(supabase))
        };
        match folder {
            Some(folder) => is_one(folder),
            None => std::env::current_dir().ok()?.ancestors().find_map(is_one),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The folder that holds it.
    pub(crate) fn parent(&self) -> &Path {
        self.0.parent().unwrap_or(&self.0)
    }

    /// The option that names it, where it is not found without.
    pub(crate) fn option(&self) -> String {
        match Self::find(None) {
            Some(found) if found.0 == self.0 => String::new(),
            _ => format!(" --workdir {}", self.parent().display()),
        }
    }

    /// The project that `supabase link` linked.
    pub(crate) fn linked_project(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.0.join(".temp/project-ref")).ok()?;
        let reference = text.trim();
        (!reference.is_empty()).then(|| reference.to_owned())
    }

    /// Writes the migrations that the folder lacks; the names of those written. `stamp` is the
    /// time as `supabase migration new` writes it, and a later migration gets a later one.
    pub(crate) fn write_migrations(&self, stamp: u64) -> Result<Vec<String>> {
        let folder = self.0.join("migrations");
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let there: Vec<String> = std::fs::read_dir(&folder)
            .with_context(|| format!("cannot read {}", folder.display()))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        // After all that are there: `db push` refuses one that is older than the last it applied.
        let newest = there
            .iter()
            .filter_map(|name| name.split('_').next()?.parse::<u64>().ok())
            .max()
            .unwrap_or(0);
        let mut stamp = stamp.max(newest + 1);
        let mut written = Vec::new();
        for version in core().versions {
            let ending = format!("_supaqueue_{:04}.sql", version.number);
            if there.iter().any(|name| name.ends_with(&ending)) {
                continue;
            }
            let path = folder.join(format!("{stamp}{ending}"));
            std::fs::write(&path, version.sql)
                .with_context(|| format!("cannot write {}", path.display()))?;
            written.push(path.display().to_string());
            stamp += 1;
        }
        Ok(written)
    }

    /// Writes the function's files and its entry in `config.toml`, where they differ; what was written.
    pub(crate) fn write_function(&self) -> Result<Vec<String>> {
        let folder = self.0.join("functions").join(FUNCTION);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let mut files: Vec<(PathBuf, Vec<u8>)> = function_files()
            .map(|(name, bytes)| (folder.join(name), bytes.to_vec()))
            .collect();
        let path = self.0.join("config.toml");
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let with_entry = with_entry(&text).map_err(|error| {
            Problem::error(
                format!("cannot understand {}: {error}", path.display()),
                "Mend the file, then run this again.",
            )
        })?;
        files.push((path, with_entry.into_bytes()));
        let mut written = Vec::new();
        for (path, bytes) in files {
            if std::fs::read(&path).ok().as_deref() != Some(&bytes) {
                std::fs::write(&path, &bytes)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                written.push(path.display().to_string());
            }
        }
        Ok(written)
    }
}

/// A `config.toml` in which the function is called without a JWT; the rest stays as it is, to the byte.
fn with_entry(text: &str) -> Result<String> {
    let mut document: DocumentMut = text.parse().context("it is not TOML")?;
    let entry = document
        .get("functions")
        .and_then(|functions| functions.get(FUNCTION));
    let newline = if text.contains("\r\n") { "\r\n" } else { "\n" };
    match entry
        .and_then(|entry| entry.get("verify_jwt"))
        .and_then(Item::as_bool)
    {
        Some(false) => return Ok(text.to_owned()),
        None if entry.is_none() && !is_inline(document.get("functions")) => {
            // At the end, so that nothing else moves.
            let gap = match text {
                "" => "",
                _ if text.ends_with('\n') => newline,
                _ => &newline.repeat(2),
            };
            return Ok(format!(
                "{text}{gap}[functions.{FUNCTION}]{newline}verify_jwt = false{newline}"
            ));
        }
        _ => {}
    }
    match &mut document["functions"][FUNCTION]["verify_jwt"] {
        Item::Value(value) => {
            // What is written around it stays: a comment at the end of the line, for one.
            let decor = value.decor().clone();
            *value = Value::from(false);
            *value.decor_mut() = decor;
        }
        item => *item = toml_edit::value(false),
    }
    let edited = document.to_string();
    Ok(match newline {
        "\n" => edited,
        _ => edited.replace("\r\n", "\n").replace('\n', newline),
    })
}

fn is_inline(item: Option<&Item>) -> bool {
    matches!(item, Some(Item::Value(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: &str =
        "# mine\nproject_id = \"x\"   # keep\n\n[functions.hello]\nverify_jwt = true\n";

    #[test]
    fn the_entry_is_added_and_nothing_else_is_touched() {
        for (text, want) in [
            ("", "[functions.supaqueue]\nverify_jwt = false\n".to_owned()),
            (
                OTHER,
                format!("{OTHER}\n[functions.supaqueue]\nverify_jwt = false\n"),
            ),
            (
                OTHER.trim_end(),
                format!(
                    "{}\n\n[functions.supaqueue]\nverify_jwt = false\n",
                    OTHER.trim_end()
                ),
            ),
            (
                "a = 1\r\n",
                "a = 1\r\n\r\n[functions.supaqueue]\r\nverify_jwt = false\r\n".to_owned(),
            ),
        ] {
            assert_eq!(with_entry(text).unwrap(), want);
        }
    }

    #[test]
    fn an_entry_that_is_right_is_left_and_one_that_is_wrong_is_corrected() {
        let right =
            format!("{OTHER}[functions.supaqueue]\nenabled = true\nverify_jwt = false # ours\n");
        assert_eq!(with_entry(&right).unwrap(), right);
        let wrong = right.replace("verify_jwt = false", "verify_jwt = true");
        assert_eq!(with_entry(&wrong).unwrap(), right);
        let without = "[functions.supaqueue]\nenabled = true\n\n[auth]\nx = 1\n";
        assert_eq!(
            with_entry(without).unwrap(),
            "[functions.supaqueue]\nenabled = true\nverify_jwt = false\n\n[auth]\nx = 1\n"
        );
        let inline = "functions = { hello = { verify_jwt = true } }\n";
        assert_eq!(
            with_entry(inline).unwrap().parse::<DocumentMut>().unwrap()["functions"]["supaqueue"]["verify_jwt"].as_bool(),
            Some(false)
        );
        let windows = wrong.replace('\n', "\r\n");
        assert_eq!(with_entry(&windows).unwrap(), right.replace('\n', "\r\n"));
        assert!(with_entry("a = ").is_err());
    }

    #[test]
    fn migrations_are_written_once_and_after_those_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let supabase = folder.path().join("supabase");
        std::fs::create_dir_all(supabase.join("migrations")).unwrap();
        std::fs::write(supabase.join("config.toml"), "").unwrap();
        std::fs::write(supabase.join("migrations/20990101000000_mine.sql"), "").unwrap();
        let working = WorkingFolder::find(Some(folder.path())).unwrap();
        let written = working.write_migrations(20261123080000).unwrap();
        assert_eq!(written.len(), migrations().len());
        assert!(
            written[0].ends_with("20990101000001_supaqueue_0001.sql"),
            "{}",
            written[0]
        );
        assert_eq!(
            std::fs::read_to_string(&written[0]).unwrap(),
            migrations()[0].sql
        );
        assert_eq!(
            working.write_migrations(20261124080000).unwrap(),
            Vec::<String>::new()
        );
    }

    #[test]
    fn the_functions_files_are_written_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("supabase")).unwrap();
        std::fs::write(folder.path().join("supabase/config.toml"), OTHER).unwrap();
        let working = WorkingFolder::find(Some(folder.path())).unwrap();
        assert_eq!(
            working.write_function().unwrap().len(),
            function_files().count() + 1
        );
        assert_eq!(working.write_function().unwrap(), Vec::<String>::new());
        assert!(WorkingFolder::find(Some(&folder.path().join("supabase"))).is_none());
    }
}
