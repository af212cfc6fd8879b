//! The migrations: one file per version of a part of the schema, assembled from the files that
//! people edit.
//!
//! A part is the core (`sql`) or an add-on (`sql/add-ons/<name>`). Its folder has
//!
//! - `schema`: the truth. Tables are in `schema/tables`; everything else (functions, triggers,
//!   views, privileges) is the part's code. Files apply in the order of their names, whichever of
//!   the two folders they are in.
//! - `steps`: how tables get from one version to the next, written by hand; `steps/0002_<name>.sql`
//!   begins version 2. `migrations/0002_<name>.after` may hold statements, one per file, that run after
//!   the version's transaction: what a transaction cannot do (`create index concurrently`) or
//!   should not (backfills). Each of them can be repeated.
//! - `migrations`: what users run. Version 1 is the whole schema; each later version is its step
//!   and all of the code, which therefore replaces what it finds (`create or replace`). A file is one statement, which does
//!   nothing where its version or a newer one is installed: `supabase db push` and `supaqueue install` may come in any order.
//!
//! `sql/released.sha256` lists the migrations that were released, as `sha256sum` writes it: those
//! never change. The newest of a part can be missing there, and is assembled anew by each build.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

use crate::repository::Repository;

const SQL: &str = "sql";
const CORE: &str = "supaqueue";
const RELEASED: &str = "released.sha256";

/// A file of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its path in the folder of the part, such as `schema/tables/10_queue.sql`.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// A part of the schema, with versions of its own.
#[derive(Debug)]
pub struct Part {
    name: String,
    schema: Vec<File>,
    steps: Vec<File>,
    /// Whether the newest version has statements that run after its transaction.
    has_work_after: bool,
    migrations: Vec<File>,
}

impl Part {
    /// Reads the part in a folder.
    ///
    /// # Errors
    ///
    /// A file cannot be read, a step is not numbered, or the schema is empty.
    pub fn read(folder: &Path, name: &str) -> Result<Self> {
        let mut schema = files(folder, "schema")?;
        schema.extend(files(folder, "schema/tables")?);
        schema.sort_by(|a, b| base(&a.path).cmp(base(&b.path)));
        ensure!(!schema.is_empty(), "{} has no schema", folder.display());
        let steps = files(folder, "steps")?;
        for file in schema.iter().chain(&steps) {
            // They quote the file in its migration.
            let is_quotable = !["$migration$", "$supaqueue$"]
                .iter()
                .any(|quote| file.text.contains(quote));
            ensure!(
                is_quotable,
                "{} contains $migration$ or $supaqueue$: choose another quote",
                file.path
            );
        }
        for (number, step) in (2..).zip(&steps) {
            ensure!(
                base(&step.path).starts_with(&format!("{number:04}_")),
                "{} begins version {number} of {name}: its name begins with {number:04}_",
                step.path
            );
        }
        let has_work_after = steps.last().is_some_and(|step| {
            folder
                .join(format!("migrations/{}.after", stem(step)))
                .exists()
        });
        Ok(Self {
            name: name.into(),
            has_work_after,
            schema,
            steps,
            migrations: files(folder, "migrations")?,
        })
    }

    /// The migration of the newest version.
    #[must_use]
    pub fn newest(&self) -> File {
        let number = self.steps.len() + 1;
        let (name, sections): (String, Vec<&File>) = match self.steps.last() {
            Some(step) => {
                let code = self.schema.iter().filter(|file| !is_table(file));
                (
                    stem(step).into(),
                    std::iter::once(step).chain(code).collect(),
                )
            }
            None => (format!("0001_{}", self.name), self.schema.iter().collect()),
        };
        let needs_core = match &*self.name {
            CORE => "",
            _ => include_str!("sql/needs_core.sql"),
        };
        let fill = |template: &str| {
            template
                .replace(":needs_core\n", needs_core)
                .replace(":part", &self.name)
                .replace(":number", &number.to_string())
                .replace(":previous", &(number - 1).to_string())
                .replace(":name", &name)
                .replace(
                    ":finished_at",
                    if self.has_work_after { "null" } else { "now()" },
                )
        };
        let mut text = fill(include_str!("sql/begin.sql"));
        text += &section("known objects", include_str!("sql/known_objects.sql"));
        for file in sections {
            text += &section(&file.path, &file.text);
        }
        text += &fill(include_str!("sql/end.sql"));
        File {
            path: format!("migrations/{name}.sql"),
            text,
        }
    }
}

/// Assembles the newest migration of each part, unless it is released.
///
/// # Errors
///
/// A released migration has changed, or the schema differs from the newest one, which is released.
pub fn build(repository: &Repository) -> Result<()> {
    for (folder, newest) in unreleased(repository)? {
        let path = repository.path(&format!("{folder}/{}", newest.path));
        fs::create_dir_all(path.parent().context("a migration has a folder")?)?;
        fs::write(&path, newest.text)
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {folder}/{}", newest.path);
    }
    Ok(())
}

/// Checks that the migrations are what the schema's files say.
///
/// # Errors
///
/// As [`build`], or a migration was not assembled anew.
pub fn check(repository: &Repository) -> Result<()> {
    for (folder, newest) in unreleased(repository)? {
        let path = format!("{folder}/{}", newest.path);
        let committed = fs::read_to_string(repository.path(&path))
            .with_context(|| format!("cannot read {path}: run `cargo xtask sql build`"))?;
        ensure!(
            committed == newest.text,
            "{path} is not what {folder}/schema says: run `cargo xtask sql build`"
        );
        println!("{path} is what {folder}/schema says");
    }
    Ok(())
}

/// Records the newest migrations as released: from now on they may not change.
///
/// # Errors
///
/// As [`check`].
pub fn release(repository: &Repository) -> Result<()> {
    check(repository)?;
    let mut lines = released(repository)?;
    for (folder, newest) in unreleased(repository)? {
        lines.push(line(&folder, &newest));
        println!("released {folder}/{}", newest.path);
    }
    lines.push(String::new());
    let path = repository.path(&format!("{SQL}/{RELEASED}"));
    fs::write(&path, lines.join("\n")).with_context(|| format!("cannot write {}", path.display()))
}

/// The newest migration of each part that is not released, with the part's folder.
fn unreleased(repository: &Repository) -> Result<Vec<(String, File)>> {
    let released = released(repository)?;
    let mut lines = Vec::new();
    let mut unreleased = Vec::new();
    for (folder, name) in parts(repository)? {
        let part = Part::read(&repository.path(&folder), &name)?;
        let newest = part.newest();
        let mut is_released = false;
        for migration in &part.migrations {
            let line = line(&folder, migration);
            if released.contains(&line) {
                is_released = migration.path == newest.path;
                if is_released && *migration != newest {
                    bail!(
                        "{folder}/schema differs from version {}, which is released: begin the next \
                         version with a file in {folder}/steps, even if tables stay as they are",
                        part.steps.len() + 1
                    );
                }
                lines.push(line);
            } else if migration.path != newest.path {
                bail!(
                    "{folder}/{} is neither released nor the newest version: if it was released, \
                     restore it",
                    migration.path
                );
            }
        }
        if !is_released {
            unreleased.push((folder, newest));
        }
    }
    for line in released {
        ensure!(
            lines.contains(&line),
            "a released migration has changed or is gone; restore it: {line}"
        );
    }
    Ok(unreleased)
}

/// The folder and the name of each part, the core first.
fn parts(repository: &Repository) -> Result<Vec<(String, String)>> {
    let mut parts = vec![(SQL.to_owned(), CORE.to_owned())];
    for path in entries(&repository.path(&format!("{SQL}/add-ons")))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        parts.push((format!("{SQL}/add-ons/{name}"), name.into_owned()));
    }
    Ok(parts)
}

fn released(repository: &Repository) -> Result<Vec<String>> {
    let text = fs::read_to_string(repository.path(&format!("{SQL}/{RELEASED}")))
        .with_context(|| format!("cannot read {SQL}/{RELEASED}"))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// The line of a migration in the list of those that are released, as `sha256sum` writes it.
fn line(folder: &str, migration: &File) -> String {
    let digest: String = Sha256::digest(migration.text.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("{digest}  {folder}/{}", migration.path)
}

/// The SQL files of a folder in the folder of a part, in the order of their names.
fn files(part: &Path, folder: &str) -> Result<Vec<File>> {
    let mut files = Vec::new();
    if !part.join(folder).exists() {
        return Ok(files);
    }
    for path in entries(&part.join(folder))? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".sql") {
            files.push(File {
                text: fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?,
                path: format!("{folder}/{name}"),
            });
        }
    }
    Ok(files)
}

/// What is in a folder, in the order of the names.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder);
    let mut paths: Vec<PathBuf> = entries
        .with_context(|| format!("cannot read {}", folder.display()))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    Ok(paths)
}

fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn stem(file: &File) -> &str {
    base(&file.path).trim_end_matches(".sql")
}

fn is_table(file: &File) -> bool {
    file.path.starts_with("schema/tables/")
}

/// A file as it stands in a migration: a statement of its own, which an error message can quote. `supaqueue-files` finds the
/// code by these titles.
fn section(title: &str, text: &str) -> String {
    format!(
        "\n--- {title}\n\nexecute $migration$\n{}\n$migration$;\n",
        text.trim()
    )
}
