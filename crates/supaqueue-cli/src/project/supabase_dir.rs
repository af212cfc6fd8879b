//! The user's `supabase` folder: migrations, functions, `config.toml`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;
use supaqueue_files::{Part, add_ons, core, function_files};
use toml_edit::{DocumentMut, Item, Value};
use url::Url;

use super::file_set::FileSet;
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

    /// A command of the Supabase CLI for this folder.
    pub(crate) fn supabase(&self, command: &str) -> CommandLine {
        CommandLine::of(&format!("supabase {command}")).option("--workdir", self.workdir())
    }

    /// The command that pushes migrations to the linked project. From version 3 on, the CLI means the local stack without an
    /// option; this one is the only one that version 2 knows as well.
    pub(crate) fn push(&self) -> CommandLine {
        self.supabase("db push --linked")
    }

    /// A command of this program for this folder.
    pub(crate) fn supaqueue(&self, command: &str) -> CommandLine {
        CommandLine::supaqueue(command).option("--workdir", self.workdir())
    }

    /// The project's folder, if the programs do not find it where they are run.
    fn workdir(&self) -> Option<&Path> {
        let is_found = Self::find(None).is_some_and(|found| found.0 == self.0);
        (!is_found).then(|| self.parent())
    }

    /// The reference of the project linked by `supabase link`.
    pub(crate) fn linked_project(&self) -> Option<String> {
        let text = std::fs::read_to_string(self.0.join(".temp/project-ref")).ok()?;
        let reference = text.trim();
        (!reference.is_empty()).then(|| reference.to_owned())
    }

    /// The address of a project's session pooler, without a password, if `supabase link` has saved it.
    pub(crate) fn pooler_url(&self, reference: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.0.join(".temp/pooler-url")).ok()?;
        session_pooler(text.trim(), reference)
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

    /// The user's functions.
    pub(crate) fn functions(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.join("functions"));
        let mut names: Vec<String> = entries
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let is_folder = entry.path().is_dir();
                entry.file_name().into_string().ok().filter(|_| is_folder)
            })
            .filter(|name| is_function_name(name))
            .collect();
        names.sort();
        names
    }

    /// The entry point of a function.
    pub(crate) fn entry_point(&self, function: &str) -> PathBuf {
        self.0.join("functions").join(function).join("index.ts")
    }

    /// The names of the migrations.
    pub(crate) fn migrations(&self) -> Result<Vec<String>> {
        let folder = self.0.join("migrations");
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let entries = std::fs::read_dir(&folder);
        let entries = entries.with_context(|| format!("cannot read {}", folder.display()))?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| name.ends_with(".sql"))
            .collect();
        names.sort();
        Ok(names)
    }

    /// The path of a migration.
    pub(crate) fn migration(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join("migrations").join(name)
    }

    /// The time stamp of the next migration: later than every existing one, because `db push` rejects migrations older than
    /// the last that it applied.
    pub(crate) fn next_stamp(&self, now: Timestamp) -> Result<u64> {
        let migrations = self.migrations()?;
        let stamps = migrations
            .iter()
            .filter_map(|name| name.split('_').next()?.parse::<u64>().ok());
        Ok(time_stamp(now)?.max(stamps.max().unwrap_or(0) + 1))
    }

    /// Adds the migrations that are missing, from a time stamp on, one second apart. Returns the next time stamp.
    pub(crate) fn add_migrations(
        &self,
        files: &mut FileSet,
        add_on: Option<&Part>,
        mut stamp: u64,
    ) -> Result<u64> {
        for (name, sql) in self.missing_migrations(add_on)? {
            files.add(self.migration(format!("{stamp}{name}")), sql);
            stamp += 1;
        }
        Ok(stamp)
    }

    /// Writes the migrations that are missing, and returns their paths.
    pub(crate) fn write_migrations(&self, add_on: Option<&Part>) -> Result<Vec<String>> {
        let mut files = FileSet::default();
        self.add_migrations(&mut files, add_on, self.next_stamp(Timestamp::now())?)?;
        files.write()?;
        Ok(files.names())
    }

    /// The migrations that are missing, of the core, of the add-ons that the folder has, and of `add_on`: the end of the
    /// name, and the text.
    pub(crate) fn missing_migrations(
        &self,
        add_on: Option<&Part>,
    ) -> Result<Vec<(String, &'static str)>> {
        let existing = self.migrations()?;
        let is_wanted = |part: &Part| {
            let name = format!("_supaqueue_{}_0", part.name);
            add_on == Some(part) || existing.iter().any(|file| file.contains(&name))
        };
        let add_ons = add_ons().into_iter().filter(is_wanted);
        let mut missing = Vec::new();
        for part in std::iter::once(core()).chain(add_ons) {
            let name = match part.name {
                "supaqueue" => "_supaqueue".to_owned(),
                add_on => format!("_supaqueue_{add_on}"),
            };
            for version in &part.versions {
                let name = format!("{name}_{:04}.sql", version.number);
                if !existing.iter().any(|file| file.ends_with(&name)) {
                    missing.push((name, version.sql));
                }
            }
        }
        Ok(missing)
    }

    /// The files of the function.
    pub(crate) fn function_files(&self) -> impl Iterator<Item = (PathBuf, &'static [u8])> {
        let folder = self.0.join("functions").join(FUNCTION);
        function_files().map(move |(name, bytes)| (folder.join(name), bytes))
    }

    /// Adds `config.toml`, if it does not let calls of these functions in without a JWT.
    pub(crate) fn add_config(&self, files: &mut FileSet, functions: &[&str]) -> Result<()> {
        let (path, mut text) = (self.config_path(), self.config()?);
        for function in functions {
            text = without_jwt(&text, function).map_err(|error| {
                user_error(
                    format!("cannot parse {}: {error}", path.display()),
                    "Fix the file and run this again.",
                )
            })?;
        }
        files.add(path, text);
        Ok(())
    }

    /// Writes the function's files and its entry in `config.toml`, and returns the paths of those
    /// that changed.
    pub(crate) fn write_function(&self) -> Result<Vec<String>> {
        let mut files = FileSet::default();
        for (path, bytes) in self.function_files() {
            files.add(path, bytes);
        }
        self.add_config(&mut files, &[FUNCTION])?;
        files.write()?;
        Ok(files.names())
    }
}

/// Whether a folder of functions with this name is a function of the user's.
pub(crate) fn is_function_name(name: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(is_word)
        && name != FUNCTION
}

/// A time stamp as in `supabase migration new`: YYYYMMDDhhmmss, in UTC.
fn time_stamp(time: Timestamp) -> Result<u64> {
    Ok(time.strftime("%Y%m%d%H%M%S").to_string().parse()?)
}

/// Disables JWT verification for a function in a `config.toml` and leaves every other byte as it is.
fn without_jwt(text: &str, function: &str) -> Result<String> {
    let mut document: DocumentMut = text.parse().context("invalid TOML")?;
    let entry = document
        .get("functions")
        .and_then(|functions| functions.get(function));
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
                "{text}{gap}[functions.{function}]{newline}verify_jwt = false{newline}"
            ));
        }
        _ => {}
    }
    match &mut document["functions"][function]["verify_jwt"] {
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

/// The CLI saves the transaction pooler, whose other port keeps a session.
fn session_pooler(url: &str, reference: &str) -> Option<String> {
    let mut url = Url::parse(url).ok()?;
    if !url.username().ends_with(&format!(".{reference}")) {
        return None;
    }
    url.set_password(None).ok()?;
    url.set_port(Some(5432)).ok()?;
    Some(url.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_saved_pooler_is_that_of_the_project_and_keeps_sessions() {
        let url = "postgresql://postgres.abc:[YOUR-PASSWORD]@aws-0-eu-west-1.pooler.supabase.com:6543/postgres";
        let want = "postgresql://postgres.abc@aws-0-eu-west-1.pooler.supabase.com:5432/postgres";
        assert_eq!(session_pooler(url, "abc").as_deref(), Some(want));
        assert_eq!(session_pooler(url, "bc"), None);
        assert_eq!(session_pooler("nonsense", "abc"), None);
    }

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
            assert_eq!(without_jwt(text, FUNCTION).unwrap(), want);
        }
    }

    #[test]
    fn a_correct_entry_is_kept_and_a_wrong_one_is_corrected() {
        let right =
            format!("{OTHER}[functions.supaqueue]\nenabled = true\nverify_jwt = false # ours\n");
        assert_eq!(without_jwt(&right, FUNCTION).unwrap(), right);
        let wrong = right.replace("verify_jwt = false", "verify_jwt = true");
        assert_eq!(without_jwt(&wrong, FUNCTION).unwrap(), right);
        let without = "[functions.supaqueue]\nenabled = true\n\n[auth]\nx = 1\n";
        assert_eq!(
            without_jwt(without, FUNCTION).unwrap(),
            "[functions.supaqueue]\nenabled = true\nverify_jwt = false\n\n[auth]\nx = 1\n"
        );
        let inline = "functions = { hello = { verify_jwt = true } }\n";
        assert_eq!(
            without_jwt(inline, FUNCTION)
                .unwrap()
                .parse::<DocumentMut>()
                .unwrap()["functions"]["supaqueue"]["verify_jwt"]
                .as_bool(),
            Some(false)
        );
        let windows = wrong.replace('\n', "\r\n");
        assert_eq!(
            without_jwt(&windows, FUNCTION).unwrap(),
            right.replace('\n', "\r\n")
        );
        assert!(without_jwt("a = ", FUNCTION).is_err());
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
        let files = |now: &str| {
            let mut files = FileSet::default();
            let stamp = dir.next_stamp(now.parse().unwrap()).unwrap();
            dir.add_migrations(&mut files, None, stamp).unwrap();
            files
        };
        let written = files("2026-11-23T08:00:00Z");
        let names = written.names();
        assert_eq!(names.len(), core().versions.len());
        assert!(
            names[0].ends_with("20990101000001_supaqueue_0001.sql"),
            "{}",
            names[0]
        );
        written.write().unwrap();
        assert_eq!(
            std::fs::read_to_string(&names[0]).unwrap(),
            core().versions[0].sql
        );
        assert!(files("2026-11-24T08:00:00Z").names().is_empty());
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
