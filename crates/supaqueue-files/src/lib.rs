//! What Supaqueue installs in a project, carried inside a program, and how it gets into a database.
//!
//! This crate runs nothing. It returns SQL, which each program runs over its own connection:
//! [`DatabaseState`] is what a database contains, [`fn@upgrade`] what it lacks, and [`vault`] stores
//! secrets. The CLI, the local stack and the tests all use it, so they install the same.

mod database_state;
mod loopback;
mod part;
mod upgrade;
pub mod vault;

use include_dir::{Dir, include_dir};

pub use database_state::{CronJob, DatabaseState};
pub use loopback::is_loopback;
pub use part::{Part, Version, add_on, add_ons, core};
pub use upgrade::{Change, NewerSchema, Upgrade, of_parts, upgrade};

static FUNCTION: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../supabase/functions/supaqueue");

/// Removes everything from a database; statements for one transaction, safe to repeat.
pub const REMOVE: &str = include_str!("../../../sql/remove.sql");

/// Has `pg_cron` run the tick; gives the schedule as `result`, or null where there is no `pg_cron`.
pub const SCHEDULE_TICK: &str = "select to_jsonb(supaqueue.schedule_tick()) as result";

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
    fn the_function_has_its_entry_point() {
        assert!(function_files().any(|(name, _)| name == "index.ts"));
    }
}
