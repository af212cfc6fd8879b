//! What a database lacks of the schema in this program.

use crate::{DatabaseState, Part};

/// What brings a database to the versions in this program.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Upgrade {
    /// Run each of them by itself, in order: a transaction with all that can be in one, then what
    /// cannot. A run that ends in between is made up for by the next.
    pub transactions: Vec<String>,
    /// The parts whose version it changes.
    pub changes: Vec<Change>,
}

/// A part that goes from one version to another.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// `supaqueue`, or the name of an add-on.
    pub part: &'static str,
    /// The version that is there; 0: none.
    pub from: i32,
    /// The version in this program.
    pub to: i32,
}

/// The database has a version that this program does not know.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the database has version {installed} of {part}, this program knows {newest}")]
pub struct NewerSchema {
    /// `supaqueue`, or the name of an add-on.
    pub part: &'static str,
    /// The version that is there.
    pub installed: i32,
    /// The newest version in this program.
    pub newest: i32,
}

/// What brings a database to the newest version of the core, of the add-ons that it has, and of
/// `add`.
///
/// All parts change in one transaction: the code of an add-on depends on that of the core.
///
/// # Errors
///
/// The database has a newer version of a part.
pub fn upgrade(state: &DatabaseState, add: Option<&Part>) -> Result<Upgrade, NewerSchema> {
    let mut parts = vec![crate::core()];
    for add_on in crate::add_ons() {
        if state.versions.contains_key(add_on.name)
            || add.is_some_and(|add| add.name == add_on.name)
        {
            parts.push(add_on);
        }
    }
    of_parts(&parts, state)
}

/// [`upgrade`] of given parts, each of which is or gets installed.
///
/// # Errors
///
/// The database has a newer version of a part.
pub fn of_parts(parts: &[Part], state: &DatabaseState) -> Result<Upgrade, NewerSchema> {
    let mut upgrade = Upgrade::default();
    let mut sql = String::new();
    let mut after = Vec::new();
    for part in parts {
        let installed = state.versions.get(part.name).copied().unwrap_or(0);
        if installed > part.newest() {
            return Err(NewerSchema {
                part: part.name,
                installed,
                newest: part.newest(),
            });
        }
        let is_unfinished = |number| state.unfinished.contains(&(part.name.to_owned(), number));
        for version in &part.versions {
            if version.number > installed {
                sql += version.sql;
            }
            if version.number > installed || is_unfinished(version.number) {
                after.extend(version.after.iter().map(|sql| (*sql).to_owned()));
            }
        }
        if installed < part.newest() {
            upgrade.changes.push(Change {
                part: part.name,
                from: installed,
                to: part.newest(),
            });
        } else if !state.has_code {
            sql += &part.code();
        }
    }
    if !sql.is_empty() {
        upgrade.transactions.push(sql);
    }
    if !after.is_empty() {
        after.push(
            "update supaqueue.version set finished_at = now() where finished_at is null".into(),
        );
        upgrade.transactions.append(&mut after);
    }
    Ok(upgrade)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Version;

    fn part(name: &'static str, newest: i32) -> Part {
        let versions = [("1;", vec![]), ("2;", vec!["2 after"]), ("3;", vec![])];
        Part {
            name,
            remove: "",
            versions: (1..=newest)
                .zip(versions)
                .map(|(number, (sql, after))| Version {
                    number,
                    name: "",
                    sql,
                    after,
                })
                .collect(),
        }
    }

    fn state(versions: &[(&str, i32)]) -> DatabaseState {
        DatabaseState {
            versions: versions
                .iter()
                .map(|(part, number)| ((*part).to_owned(), *number))
                .collect(),
            has_code: true,
            ..DatabaseState::default()
        }
    }

    fn transactions(parts: &[Part], state: &DatabaseState) -> Vec<String> {
        of_parts(parts, state).unwrap().transactions
    }

    const FINISH: &str =
        "update supaqueue.version set finished_at = now() where finished_at is null";

    #[test]
    fn the_missing_versions_of_all_parts_are_one_transaction() {
        let parts = [part("supaqueue", 3), part("extra", 1)];
        assert_eq!(
            transactions(&parts, &state(&[])),
            ["1;2;3;1;", "2 after", FINISH]
        );
        assert_eq!(transactions(&parts, &state(&[("supaqueue", 2)])), ["3;1;"]);
        let newest = state(&[("supaqueue", 3), ("extra", 1)]);
        assert_eq!(of_parts(&parts, &newest).unwrap(), Upgrade::default());
    }

    #[test]
    fn unfinished_work_is_done_again() {
        let mut state = state(&[("supaqueue", 3)]);
        state.unfinished = vec![("supaqueue".into(), 2)];
        assert_eq!(
            transactions(&[part("supaqueue", 3)], &state),
            ["2 after", FINISH]
        );
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let error = of_parts(&[part("supaqueue", 3)], &state(&[("supaqueue", 4)])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the database has version 4 of supaqueue, this program knows 3"
        );
    }

    #[test]
    fn tables_that_were_kept_get_their_code_back() {
        let mut kept = state(&[("supaqueue", 1)]);
        kept.has_code = false;
        let upgrade = upgrade(&kept, None).unwrap();
        assert_eq!(upgrade.changes, []);
        assert!(
            upgrade.transactions[0].contains("create or replace function supaqueue.take_tables")
        );
        assert!(!upgrade.transactions[0].contains("create table"));
    }

    #[test]
    fn an_add_on_comes_only_when_asked_for_or_there() {
        let names = |upgrade: Upgrade| {
            upgrade
                .changes
                .iter()
                .map(|change| change.part)
                .collect::<Vec<_>>()
        };
        let add_on = crate::add_on("job_dependencies");
        let nothing = DatabaseState::default();
        assert_eq!(names(upgrade(&nothing, None).unwrap()), ["supaqueue"]);
        assert_eq!(
            names(upgrade(&nothing, add_on.as_ref()).unwrap()),
            ["supaqueue", "job_dependencies"]
        );
    }
}
