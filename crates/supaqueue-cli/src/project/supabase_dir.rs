//! The user's `supabase` folder: migrations, functions, `config.toml`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use supaqueue_files::{core, function_files};
use toml_edit::{DocumentMut, Item, Value};

use super::atomic_file;
use super::hosted::FUNCTION;
use crate::command_line::CommandLine;
use crate::user_error::user_error;

/// A project's `supabase` folder.
#[derive(Debug, Clone)]
pub(crate) struct SupabaseDir(PathBuf);

/// The error for a command that needs the folder.
pub(crate) fn missing() -> anyhow::Error {
    user_error(
        "no supabase folder in this folder or its parents",
        "Change to the project's folder, pass it with --workdir, or create one with `supabase init`.",
    )
}

impl SupabaseDir {
    /// Finds the folder in `workdir`, or else in the current folder or its nearest parent.
    pub(crate) fn find(workdir: Option<&Path>) -> Option<Self> {
        let below = |parent: &Path| {
            let dir = parent.join("supabase");
            dir.join("config.toml").is_file().then_some(Self(dir))
        };
        match workdir {
            Some(workdir) => below(workdir),
            None => std::env::current_dir().ok()?.ancestors().find_map(below),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The project's folder, which contains this one.
    pub(crate) fn parent(&self) -> &Path {
        self.0.parent().unwrap_or(&self.0)
    }

    /// A command of the Supabase CLI, which finds this folder where it is run.
    pub(crate) fn supabase(&self, command: &str) -> CommandLine {
        let is_found = Self::find(None).is_some_and(|found| found.0 == self.0);
        let workdir = (!is_found).then(|| self.parent());
        CommandLine::of(&format!("supabase {command}")).option("--workdir", workdir)
    }

    /// The reference of the project linked by `supabase link`.
    pub(crate) fn linked_project(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.0.join(".temp/project-ref")).ok()?;
        let reference = text.trim();
        (!reference.is_empty()).then(|| reference.to_owned())
    }

    /// `config.toml`.
    fn config_path(&self) -> PathBuf {
        self.0.join("config.toml")
    }

    fn config(&self) -> Result<String> {
        let path = self.config_path();
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Where `config.toml` makes `supabase functions serve` end an isolate with its response, and with it the jobs that run in
    /// the background: file and line.
    pub(crate) fn oneshot_policy(&self) -> Option<String> {
        let line = oneshot_line(&self.config().ok()?)?;
        Some(format!("{}:{line}", self.config_path().display()))
    }

    /// The functions whose calls need a JWT when they are served from here. They do unless `config.toml` says otherwise.
    pub(crate) fn functions_with_jwt(&self) -> BTreeSet<String> {
        let config: DocumentMut = self
            .config()
            .unwrap_or_default()
            .parse()
            .unwrap_or_default();
        let needs_jwt = |name: &String| {
            let entry = config
                .get("functions")
                .and_then(|functions| functions.get(name));
            let verify_jwt = entry.and_then(|entry| entry.get("verify_jwt"));
            verify_jwt.and_then(Item::as_bool) != Some(false)
        };
        let folders = std::fs::read_dir(self.0.join("functions"))
            .into_iter()
            .flatten();
        let names = folders.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter(needs_jwt).collect()
    }

    /// Writes the missing migrations and returns their paths. They are named after `now`, one second
    /// apart.
    pub(crate) fn write_migrations(&self, now: Timestamp) -> Result<Vec<String>> {
        let folder = self.0.join("migrations");
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let existing: Vec<String> = std::fs::read_dir(&folder)
            .with_context(|| format!("cannot read {}", folder.display()))?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        // Later than every existing one: `db push` rejects migrations older than the last it applied.
        let newest = existing
            .iter()
            .filter_map(|name| name.split('_').next()?.parse::<u64>().ok())
            .max()
            .unwrap_or(0);
        let mut stamp = time_stamp(now)?.max(newest + 1);
        let mut written = Vec::new();
        for version in core().versions {
            let suffix = format!("_supaqueue_{:04}.sql", version.number);
            if existing.iter().any(|name| name.ends_with(&suffix)) {
                continue;
            }
            let path = folder.join(format!("{stamp}{suffix}"));
            atomic_file::write(&path, version.sql.as_bytes())?;
            written.push(path.display().to_string());
            stamp += 1;
        }
        Ok(written)
    }

    /// Writes the function's files and its entry in `config.toml`, and returns the paths of those
    /// that changed.
    pub(crate) fn write_function(&self) -> Result<Vec<String>> {
        let folder = self.0.join("functions").join(FUNCTION);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
        let mut files: Vec<(PathBuf, Vec<u8>)> = function_files()
            .map(|(name, bytes)| (folder.join(name), bytes.to_vec()))
            .collect();
        let (path, text) = (self.config_path(), self.config()?);
        let with_entry = with_entry(&text).map_err(|error| {
            user_error(
                format!("cannot parse {}: {error}", path.display()),
                "Fix the file and run this again.",
            )
        })?;
        files.push((path, with_entry.into_bytes()));
        let mut written = Vec::new();
        for (path, bytes) in files {
            if std::fs::read(&path).ok().as_deref() != Some(&bytes) {
                atomic_file::write(&path, &bytes)?;
                written.push(path.display().to_string());
            }
        }
        Ok(written)
    }
}

/// A time stamp as in `supabase migration new`: YYYYMMDDhhmmss, in UTC.
fn time_stamp(time: Timestamp) -> Result<u64> {
    Ok(time.strftime("%Y%m%d%H%M%S").to_string().parse()?)
}

/// Disables JWT verification for the function in a `config.toml` and leaves every other byte as it is.
fn with_entry(text: &str) -> Result<String> {
    let mut document: DocumentMut = text.parse().context("invalid TOML")?;
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
            // Appended, so that nothing else moves.
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
            // Keeps what surrounds the value, such as a comment at the end of the line.
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

/// The line of `[edge_runtime] policy = "oneshot"`.
fn oneshot_line(config: &str) -> Option<usize> {
    // Unlike a mutable document, this one knows where its values were.
    let document = toml_edit::Document::parse(config).ok()?;
    let policy = document.get("edge_runtime")?.get("policy")?;
    let start = policy
        .span()
        .filter(|_| policy.as_str() == Some("oneshot"))?
        .start;
    Some(config.get(..start)?.matches('\n').count() + 1)
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
    fn a_missing_entry_is_appended_and_nothing_else_changes() {
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
    fn a_correct_entry_is_kept_and_a_wrong_one_is_corrected() {
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
    fn the_line_of_the_policy_oneshot_is_found() {
        let config = |policy: &str| format!("{OTHER}\n[edge_runtime]\nenabled = true\n{policy}\n");
        let cases = [
            ("policy = \"oneshot\"", Some(9)),
            ("policy = \"per_worker\"", None),
            ("# policy = \"oneshot\"", None),
        ];
        for (policy, want) in cases {
            assert_eq!(oneshot_line(&config(policy)), want, "{policy}");
        }
        assert_eq!(oneshot_line("edge_runtime.policy = 'oneshot'"), Some(1));
        assert_eq!(oneshot_line("a = "), None);
    }

    #[test]
    fn a_time_stamp_is_in_utc() {
        let time = "2026-11-23T09:11:11+01:00".parse().unwrap();
        assert_eq!(time_stamp(time).unwrap(), 20261123081111);
    }

    #[test]
    fn migrations_are_written_once_and_after_the_existing_ones() {
        let folder = tempfile::tempdir().unwrap();
        let supabase = folder.path().join("supabase");
        std::fs::create_dir_all(supabase.join("migrations")).unwrap();
        std::fs::write(supabase.join("config.toml"), "").unwrap();
        std::fs::write(supabase.join("migrations/20990101000000_mine.sql"), "").unwrap();
        let dir = SupabaseDir::find(Some(folder.path())).unwrap();
        let written = dir
            .write_migrations("2026-11-23T08:00:00Z".parse().unwrap())
            .unwrap();
        assert_eq!(written.len(), core().versions.len());
        assert!(
            written[0].ends_with("20990101000001_supaqueue_0001.sql"),
            "{}",
            written[0]
        );
        assert_eq!(
            std::fs::read_to_string(&written[0]).unwrap(),
            core().versions[0].sql
        );
        assert_eq!(
            dir.write_migrations("2026-11-24T08:00:00Z".parse().unwrap())
                .unwrap(),
            Vec::<String>::new()
        );
    }

    #[test]
    fn function_files_are_written_once() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("supabase")).unwrap();
        std::fs::write(folder.path().join("supabase/config.toml"), OTHER).unwrap();
        let dir = SupabaseDir::find(Some(folder.path())).unwrap();
        assert_eq!(
            dir.write_function().unwrap().len(),
            function_files().count() + 1
        );
        assert_eq!(dir.write_function().unwrap(), Vec::<String>::new());
        assert!(SupabaseDir::find(Some(&folder.path().join("supabase"))).is_none());
    }
}
