//! The migrations and seeds of a `supabase` folder, as the Supabase CLI finds them.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::Deserialize;

use crate::{Error, Result};

/// A migration: `<version>_<name>.sql`.
#[derive(Debug, Clone)]
pub(super) struct Migration {
    pub(super) version: String,
    pub(super) name: String,
    pub(super) path: PathBuf,
}

/// What the folder has, in the order in which it is applied.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) migrations: Vec<Migration>,
    pub(super) seeds: Vec<PathBuf>,
    /// Files among the migrations that are none, by their names.
    pub(super) misnamed: Vec<PathBuf>,
}

/// Changes when a file does.
pub(super) type Stamp = Vec<(PathBuf, Option<SystemTime>, u64)>;

#[derive(Debug, Default, Deserialize)]
struct Config {
    #[serde(default)]
    db: Db,
}

#[derive(Debug, Default, Deserialize)]
struct Db {
    #[serde(default)]
    migrations: Migrations,
    #[serde(default)]
    seed: Seed,
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct Migrations {
    enabled: bool,
}

impl Default for Migrations {
    fn default() -> Self {
        Self { enabled: true }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default)]
struct Seed {
    enabled: bool,
    sql_paths: Vec<String>,
}

impl Default for Seed {
    fn default() -> Self {
        Self {
            enabled: true,
            sql_paths: vec!["./seed.sql".into()],
        }
    }
}

impl Files {
    pub(super) fn of(supabase: &Path) -> Result<Self> {
        let config = config(supabase)?;
        let mut files = Self::default();
        if config.db.migrations.enabled {
            for path in sql_files(&supabase.join("migrations"))? {
                match Migration::of(&path) {
                    Some(migration) => files.migrations.push(migration),
                    None => files.misnamed.push(path),
                }
            }
        }
        if config.db.seed.enabled {
            for pattern in &config.db.seed.sql_paths {
                files.seeds.extend(matching(supabase, pattern)?);
            }
        }
        Ok(files)
    }

    pub(super) fn stamp(&self) -> Stamp {
        let migrations = self.migrations.iter().map(|migration| &migration.path);
        let stamp = |path: &PathBuf| {
            let metadata = path.metadata().ok();
            let modified = metadata.as_ref().and_then(|data| data.modified().ok());
            (
                path.clone(),
                modified,
                metadata.map_or(0, |data| data.len()),
            )
        };
        migrations.chain(&self.seeds).map(stamp).collect()
    }
}

impl Migration {
    fn of(path: &Path) -> Option<Self> {
        let (version, name) = path.file_stem()?.to_str()?.split_once('_')?;
        let is_number = !version.is_empty() && version.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| Self {
            version: version.into(),
            name: name.into(),
            path: path.into(),
        })
    }
}

fn config(supabase: &Path) -> Result<Config> {
    let path = supabase.join("config.toml");
    let text = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Config::default()),
        read => read.map_err(Error::file("cannot read", &path))?,
    };
    toml::from_str(&text).map_err(|error| {
        Error::Invalid(format!(
            "cannot parse {}: {}",
            path.display(),
            error.message()
        ))
    })
}

/// The SQL files of a folder, sorted by name. A missing folder has none.
fn sql_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::file("cannot read", folder))?,
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let is_sql = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "sql");
    let mut paths: Vec<_> = paths.filter(is_sql).collect();
    paths.sort();
    Ok(paths)
}

/// The files that an entry of `sql_paths` names; the name of the file may have a `*`.
fn matching(supabase: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let path = supabase.join(pattern.trim_start_matches("./"));
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let Some((begin, end)) = name.split_once('*') else {
        return Ok(Vec::from_iter(path.is_file().then_some(path)));
    };
    let is_match = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        let rest = name.and_then(|name| name.strip_prefix(begin));
        rest.is_some_and(|rest| rest.ends_with(end))
    };
    let mut paths = sql_files(path.parent().unwrap_or(supabase))?;
    paths.retain(is_match);
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_named_by_their_version_and_seeds_by_the_config() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let files = || {
            let files = Files::of(folder.path()).unwrap();
            let relative = |path: &PathBuf| {
                let path = path.strip_prefix(folder.path()).unwrap();
                path.to_str().unwrap().to_owned()
            };
            let migrations = files.migrations.iter();
            (
                migrations
                    .map(|migration| format!("{} {}", migration.version, migration.name))
                    .collect::<Vec<_>>(),
                files.seeds.iter().map(relative).collect::<Vec<_>>(),
                files.misnamed.iter().map(relative).collect::<Vec<_>>(),
            )
        };
        assert_eq!(files(), (vec![], vec![], vec![]), "an empty folder");
        for name in ["2_b_c.sql", "1_a.sql", "draft.sql", "_x.sql", "README.md"] {
            write(&format!("migrations/{name}"), "");
        }
        for name in ["seed.sql", "seeds/b.sql", "seeds/a.sql"] {
            write(name, "");
        }
        let strings = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            files(),
            (
                strings(&["1 a", "2 b_c"]),
                strings(&["seed.sql"]),
                strings(&["migrations/_x.sql", "migrations/draft.sql"])
            )
        );
        write(
            "config.toml",
            "project_id = 'x'\n[db]\nport = 1\n[db.seed]\nsql_paths = ['./seeds/*.sql', './absent.sql', './seed.sql']",
        );
        assert_eq!(
            files().1,
            strings(&["seeds/a.sql", "seeds/b.sql", "seed.sql"])
        );
        write(
            "config.toml",
            "[db.migrations]\nenabled = false\n[db.seed]\nenabled = false",
        );
        assert_eq!(files(), (vec![], vec![], vec![]), "turned off");
    }
}
