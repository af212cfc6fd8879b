//! The core and the add-ons, each with versions of its own.

use include_dir::{Dir, include_dir};

static CORE: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../sql/migrations");
static ADD_ONS: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../sql/add-ons");

/// A part of the schema with versions of its own: the core, or an add-on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// `supaqueue`, or the name of the add-on, such as `job_dependencies`.
    pub name: &'static str,
    /// Its versions from 1 on, without a gap.
    pub versions: Vec<Version>,
    /// Removes it; statements for one transaction, safe to repeat.
    pub remove: &'static str,
}

/// A version of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Counted from 1.
    pub number: i32,
    /// The name of its file without the ending, such as `0001_supaqueue`.
    pub name: &'static str,
    /// Brings the version before it, or nothing, to this one: one statement, which does nothing where this version or a newer
    /// one is installed.
    pub sql: &'static str,
    /// Statements to run after that transaction, each by itself. Each can be repeated.
    pub after: Vec<&'static str>,
}

impl Part {
    /// Reads a part from its folder as `cargo xtask sql build` leaves it.
    #[must_use]
    pub fn read(name: &'static str, migrations: &'static Dir, remove: &'static str) -> Self {
        let mut versions: Vec<Version> = sql_files(migrations)
            .filter_map(|(path, sql)| {
                let name = path.rsplit('/').next()?.strip_suffix(".sql")?;
                let number = name.split('_').next()?.parse().ok()?;
                let folder = migrations.path().join(format!("{name}.after"));
                let mut after: Vec<_> = migrations
                    .get_dir(folder)
                    .into_iter()
                    .flat_map(sql_files)
                    .collect();
                after.sort_unstable();
                Some(Version {
                    number,
                    name,
                    sql,
                    after: after.into_iter().map(|(_, sql)| sql).collect(),
                })
            })
            .collect();
        versions.sort_unstable_by_key(|version| version.number);
        Self {
            name,
            versions,
            remove,
        }
    }

    /// The number of its newest version.
    #[must_use]
    pub fn newest(&self) -> i32 {
        self.versions.last().map_or(0, |version| version.number)
    }

    /// What brings a database without it to its newest version; statements for one transaction.
    #[must_use]
    pub fn from_scratch(&self) -> String {
        self.versions.iter().map(|version| version.sql).collect()
    }

    /// Its functions, triggers, views and privileges, for tables of its newest version: one statement.
    #[must_use]
    pub fn code(&self) -> String {
        let sql = self.versions.last().map_or("", |version| version.sql);
        let sections: String = sql
            .split("\n--- ")
            .skip(1)
            .filter(|section| {
                let title = section.lines().next().unwrap_or_default();
                title == "known objects"
                    || (title.starts_with("schema/") && !title.starts_with("schema/tables/"))
            })
            .map(|section| format!("--- {section}\n"))
            .collect();
        format!("do $supaqueue$ begin\n{sections}end $supaqueue$;\n")
    }
}

/// The core.
#[must_use]
pub fn core() -> Part {
    Part::read("supaqueue", &CORE, crate::REMOVE)
}

/// The add-ons, by name.
#[must_use]
pub fn add_ons() -> Vec<Part> {
    let mut add_ons: Vec<_> = ADD_ONS
        .dirs()
        .filter_map(|folder| {
            Some(Part::read(
                folder.path().to_str()?,
                folder.get_dir(folder.path().join("migrations"))?,
                folder
                    .get_file(folder.path().join("remove.sql"))?
                    .contents_utf8()?,
            ))
        })
        .collect();
    add_ons.sort_unstable_by_key(|add_on| add_on.name);
    add_ons
}

/// The add-on with this name.
#[must_use]
pub fn add_on(name: &str) -> Option<Part> {
    add_ons().into_iter().find(|add_on| add_on.name == name)
}

/// The SQL files of a folder: path and text.
fn sql_files(folder: &'static Dir) -> impl Iterator<Item = (&'static str, &'static str)> {
    folder
        .files()
        .filter_map(|file| Some((file.path().to_str()?, file.contents_utf8()?)))
        .filter(|(path, _)| path.ends_with(".sql"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbered_in_order_from_one() {
        for part in std::iter::once(core()).chain(add_ons()) {
            let numbers: Vec<i32> = part.versions.iter().map(|version| version.number).collect();
            assert!(!numbers.is_empty(), "{}", part.name);
            assert!(
                numbers.iter().copied().eq(1..=part.newest()),
                "{} {numbers:?}",
                part.name
            );
        }
    }

    #[test]
    fn job_dependencies_can_be_added_and_removed() {
        let names: Vec<&str> = add_ons().iter().map(|add_on| add_on.name).collect();
        assert_eq!(names, ["job_dependencies"]);
        let add_on = add_on("job_dependencies").unwrap();
        for sql in [add_on.versions[0].sql, add_on.remove] {
            assert!(sql.contains("supaqueue.job_dependencies"));
        }
    }

    #[test]
    fn the_code_of_a_part_is_everything_but_its_tables() {
        for part in std::iter::once(core()).chain(add_ons()) {
            let code = part.code();
            assert!(
                code.contains("create or replace function supaqueue."),
                "{}",
                part.name
            );
            assert!(code.contains("supaqueue.known_objects"), "{}", part.name);
            assert!(!code.contains("create table"), "{}", part.name);
            assert!(
                !code.contains("insert into supaqueue.version"),
                "{}",
                part.name
            );
        }
    }
}
