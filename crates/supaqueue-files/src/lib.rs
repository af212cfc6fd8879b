//! What Supaqueue installs in a project, carried inside a program: it needs no checkout.
//!
//! A crate of its own, without a dependency on the local stack, so that the program `supaqueue`
//! builds where that does not.

use include_dir::{Dir, include_dir};

static MIGRATIONS: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../sql/migrations");
static ADD_ONS: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../sql/add-ons");
static FUNCTION: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../supabase/functions/supaqueue");

/// The SQL of schema version 1 and up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Migration {
    /// The version that the schema has then.
    pub number: i32,
    /// The name of the file, which begins with the number.
    pub name: &'static str,
    /// Statements for one transaction.
    pub sql: &'static str,
}

/// The migrations in the order in which they apply.
pub fn migrations() -> Vec<Migration> {
    let mut migrations: Vec<_> = MIGRATIONS
        .files()
        .filter_map(|file| {
            let name = file.path().to_str()?;
            let number = name.strip_suffix(".sql")?.split('_').next()?.parse().ok()?;
            let sql = file.contents_utf8()?;
            Some(Migration { number, name, sql })
        })
        .collect();
    migrations.sort_by_key(|migration| migration.number);
    migrations
}

/// A part of the schema that not every project needs. Its main table has its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddOn {
    /// Its name, such as `job_dependencies`.
    pub name: &'static str,
    /// Adds it, or brings it up to date; statements for one transaction.
    pub add: &'static str,
    /// Removes it; statements for one transaction.
    pub remove: &'static str,
}

/// The add-ons, by name.
pub fn add_ons() -> Vec<AddOn> {
    let mut add_ons: Vec<_> = ADD_ONS
        .dirs()
        .filter_map(|folder| {
            let sql = |verb| folder.get_file(folder.path().join(verb))?.contents_utf8();
            Some(AddOn {
                name: folder.path().to_str()?,
                add: sql("add.sql")?,
                remove: sql("remove.sql")?,
            })
        })
        .collect();
    add_ons.sort_by_key(|add_on| add_on.name);
    add_ons
}

/// The add-on with this name.
pub fn add_on(name: &str) -> Option<AddOn> {
    add_ons().into_iter().find(|add_on| add_on.name == name)
}

/// The files of the supaqueue function: name and bytes.
pub fn function_files() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    FUNCTION
        .files()
        .filter_map(|file| Some((file.path().to_str()?, file.contents())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_numbered_in_order_from_one() {
        let numbers: Vec<i32> = migrations().iter().map(|m| m.number).collect();
        assert!(numbers.len() >= 2);
        assert!(numbers.iter().copied().eq(1..=numbers[numbers.len() - 1]));
    }

    #[test]
    fn job_dependencies_can_be_added_and_removed() {
        let add_ons = add_ons();
        let names: Vec<&str> = add_ons.iter().map(|add_on| add_on.name).collect();
        assert_eq!(names, ["job_dependencies"]);
        for sql in [add_ons[0].add, add_ons[0].remove] {
            assert!(sql.contains("supaqueue.job_dependencies"));
        }
    }

    #[test]
    fn the_function_has_its_entry_point() {
        assert!(function_files().any(|(name, _)| name == "index.ts"));
    }
}
