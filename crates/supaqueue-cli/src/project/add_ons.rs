//! Add-ons as a database has them.

use supaqueue_files::AddOn;

use super::hosted::digest;
use super::state::State;

/// How a database stands to an add-on of this program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It does not have it.
    Absent,
    /// It has it from another version of the program, or from hand.
    Other,
    /// It has this one.
    Same,
}

/// Whether the database has an add-on: its main table has its name, and [`statements`] note in that
/// table's comment which text made it.
pub(crate) fn standing(add_on: &AddOn, state: &State) -> Standing {
    match state.tables.get(add_on.name) {
        None => Standing::Absent,
        Some(Some(comment)) if comment.ends_with(&mark(add_on)) => Standing::Same,
        Some(_) => Standing::Other,
    }
}

/// Adds an add-on, or brings it up to date, and notes which text did so. Removed with the table.
pub(crate) fn statements(add_on: &AddOn) -> String {
    let (sql, table, mark) = (
        add_on.add,
        format!("supaqueue.{}", add_on.name),
        mark(add_on),
    );
    format!(
        "{sql}
do $supaqueue$
begin
  execute format('comment on table {table} is %L',
    coalesce(obj_description('{table}'::regclass, 'pg_class'), '') || '{mark}');
end
$supaqueue$;"
    )
}

fn mark(add_on: &AddOn) -> String {
    format!(" (add-on {})", &digest(add_on.add)[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADD_ON: AddOn = AddOn {
        name: "extra",
        add: "select 1;",
        remove: "",
    };

    #[test]
    fn an_add_on_of_another_text_is_another() {
        let with = |comment: Option<String>| State {
            tables: [("extra".to_owned(), comment)].into(),
            ..State::default()
        };
        assert_eq!(standing(&ADD_ON, &State::default()), Standing::Absent);
        let other = mark(&AddOn {
            add: "select 2;",
            ..ADD_ON
        });
        for comment in [None, Some("What it is".into()), Some(other)] {
            assert_eq!(standing(&ADD_ON, &with(comment)), Standing::Other);
        }
        let same = with(Some(format!("What it is{}", mark(&ADD_ON))));
        assert_eq!(standing(&ADD_ON, &same), Standing::Same);
    }
}
