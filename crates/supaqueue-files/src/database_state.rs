//! What is already installed in a database.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What a database contains of Supaqueue and what it needs, as [`DatabaseState::QUERY`] selects it.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct DatabaseState {
    /// The database's clock.
    pub now: String,
    /// The version of Postgres, such as `17.4`.
    pub postgres: String,
    /// The extensions that Supaqueue needs, with their versions.
    pub extensions: BTreeMap<String, String>,
    /// Whether there is a `pg_net`, real or emulated.
    pub has_net: bool,
    /// Whether there is a Vault.
    pub has_vault: bool,
    /// Whether there is a `pg_cron`, real or emulated.
    pub has_cron: bool,
    /// Whether its functions are there: `supaqueue remove --keep-data` leaves the tables alone.
    pub has_code: bool,
    /// The parts that are installed (`supaqueue` is the core), each with the number of its version.
    pub versions: BTreeMap<String, i32>,
    /// The versions whose work after the transaction was not finished: part and number.
    pub unfinished: Vec<(String, i32)>,
    /// The Vault's `supaqueue_secret`, which the database signs with.
    pub secret: Option<String>,
    /// The secret that will be used next; exists only during an installation or a rotation.
    pub secret_next: Option<String>,
    /// The secret that was used before; exists only until a rotation is complete.
    pub secret_previous: Option<String>,
    /// The project's URL.
    pub url: Option<String>,
    /// The key that the project's gateway requires, if it requires one.
    pub anon_key: Option<String>,
    /// The entries of Supaqueue in the Vault that it cannot decrypt, as after a restore with another root key: names,
    /// and the Vault's errors.
    pub unreadable: BTreeMap<String, String>,
    /// The number of jobs that have not ended; there may be more if it is 1000 or more.
    pub living_jobs: usize,
    /// The number of schedules that are not paused.
    pub schedules: usize,
    /// The `pg_cron` job for the tick.
    pub tick: Option<CronJob>,
}

/// A job of `pg_cron`.
#[derive(Clone, Deserialize)]
pub struct CronJob {
    /// When it runs.
    pub schedule: String,
    /// What it runs.
    pub command: String,
    /// Whether it runs at all.
    pub active: bool,
}

impl CronJob {
    /// Whether the command is the tick.
    #[must_use]
    pub fn is_tick(&self) -> bool {
        ["supaqueue.tick(", "supaqueue.tick_step("]
            .iter()
            .any(|tick| self.command.contains(tick))
    }
}

impl DatabaseState {
    /// Selects the state as `result`, a JSON object. Works in any database, also an empty one.
    pub const QUERY: &str = include_str!("database_state.sql");

    /// The version of the core, if it is installed.
    #[must_use]
    pub fn version(&self) -> Option<i32> {
        self.versions.get("supaqueue").copied()
    }

    /// The value of the functions' `SUPAQUEUE_SECRET`: the key that signs first, then the others
    /// that must be accepted.
    #[must_use]
    pub fn functions_secret(&self) -> String {
        let keys = [&self.secret, &self.secret_next, &self.secret_previous];
        let keys = keys
            .into_iter()
            .flatten()
            .map(String::as_str)
            .filter(|key| crate::vault::is_signing_key(key));
        keys.collect::<Vec<_>>().join(" ")
    }

    /// Whether a rotation has been started and not finished.
    #[must_use]
    pub fn is_rotating(&self) -> bool {
        self.secret.is_some() && (self.secret_next.is_some() || self.secret_previous.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_secret_lists_the_signing_key_first() {
        let key = |letter: &str| format!("whsec_{}", letter.repeat(44));
        let mut state = DatabaseState {
            secret_next: Some(key("b")),
            ..DatabaseState::default()
        };
        assert_eq!(state.functions_secret(), key("b"));
        assert!(!state.is_rotating());
        state.secret = Some(key("a"));
        assert_eq!(
            state.functions_secret(),
            format!("{} {}", key("a"), key("b"))
        );
        assert!(state.is_rotating());
        state.secret = Some("not a key".into());
        assert_eq!(state.functions_secret(), key("b"));
    }
}
