//! What a database has of Supaqueue.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What a database has of Supaqueue, as [`State::QUERY`] gives it.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct State {
    /// The database's clock.
    pub now: String,
    /// The version of Postgres, such as `17.4`.
    pub postgres: String,
    /// The extensions that Supaqueue needs, with their versions.
    pub extensions: BTreeMap<String, String>,
    /// Whether there is a `pg_net`, or what stands for it.
    pub has_net: bool,
    /// Whether there is a Vault.
    pub has_vault: bool,
    /// Whether there is a `pg_cron`, or what stands for it.
    pub has_cron: bool,
    /// Whether there is a schema `supaqueue`.
    pub has_schema: bool,
    /// Whether its functions are there: `supaqueue remove --keep-data` leaves the tables alone.
    pub has_code: bool,
    /// The parts that are installed (`supaqueue` is the core), each with the number of its version.
    pub versions: BTreeMap<String, i32>,
    /// The versions whose work after the transaction was not finished: part and number.
    pub unfinished: Vec<(String, i32)>,
    /// The Vault's `supaqueue_secret`: the one that the database signs with.
    pub secret: Option<String>,
    /// The one that it will sign with; there only while a secret is being made or rotated.
    pub secret_next: Option<String>,
    /// The one that it signed with; there only until a rotation is finished.
    pub secret_previous: Option<String>,
    /// The project's address.
    pub url: Option<String>,
    /// The key that the project's gateway asks for.
    pub anon_key: Option<String>,
    /// The job of `pg_cron`.
    pub tick: Option<Tick>,
}

/// A job of `pg_cron`.
#[derive(Clone, Deserialize)]
pub struct Tick {
    /// When it runs.
    pub schedule: String,
    /// What it runs.
    pub command: String,
}

impl State {
    /// Gives the state as `result`, a JSON object, whatever is missing in the database.
    pub const QUERY: &str = include_str!("state.sql");

    /// The version of the core, if it is installed.
    #[must_use]
    pub fn version(&self) -> Option<i32> {
        self.versions.get("supaqueue").copied()
    }

    /// What the functions' environment must hold: the key that signs first, and any other that
    /// must be accepted.
    #[must_use]
    pub fn environment(&self) -> String {
        let keys = [&self.secret, &self.secret_next, &self.secret_previous];
        let keys = keys
            .into_iter()
            .flatten()
            .map(String::as_str)
            .filter(|key| crate::vault::is_key(key));
        keys.collect::<Vec<_>>().join(" ")
    }

    /// Whether a rotation was begun and not finished.
    #[must_use]
    pub fn is_rotating(&self) -> bool {
        self.secret.is_some() && (self.secret_next.is_some() || self.secret_previous.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_holds_every_key_in_force_the_signing_one_first() {
        let key = |letter: &str| format!("whsec_{}", letter.repeat(44));
        let mut state = State {
            secret_next: Some(key("b")),
            ..State::default()
        };
        assert_eq!(state.environment(), key("b"));
        assert!(!state.is_rotating());
        state.secret = Some(key("a"));
        assert_eq!(state.environment(), format!("{} {}", key("a"), key("b")));
        assert!(state.is_rotating());
        state.secret = Some("not a key".into());
        assert_eq!(state.environment(), key("b"));
    }
}
