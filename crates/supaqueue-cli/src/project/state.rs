//! What is there already.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Deserialize;

use super::database::{Database, literal};
use crate::problem::Problem;

/// What a database has of Supaqueue.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct State {
    /// The database's clock.
    pub(crate) now: String,
    pub(crate) postgres: String,
    pub(crate) extensions: BTreeMap<String, String>,
    pub(crate) has_net: bool,
    pub(crate) has_vault: bool,
    pub(crate) has_cron: bool,
    pub(crate) has_schema: bool,
    /// The tables of the schema, with their comments.
    pub(crate) tables: BTreeMap<String, Option<String>>,
    /// The last migration.
    pub(crate) version: Option<i32>,
    /// The Vault's `supaqueue_secret`: the one that the database signs with.
    pub(crate) secret: Option<String>,
    /// The one that it will sign with; there only while a secret is being made or rotated.
    pub(crate) secret_next: Option<String>,
    /// The one that it signed with; there only until a rotation is finished.
    pub(crate) secret_previous: Option<String>,
    pub(crate) url: Option<String>,
    pub(crate) anon_key: Option<String>,
    /// The job of pg_cron.
    pub(crate) tick: Option<Tick>,
}

/// A job of pg_cron.
#[derive(Clone, Deserialize)]
pub(crate) struct Tick {
    pub(crate) schedule: String,
    pub(crate) command: String,
}

impl State {
    /// Reads it.
    pub(crate) async fn read(database: &Database) -> Result<Self> {
        database.query(include_str!("state.sql")).await
    }

    /// What the functions' environment must hold: the key that signs first, and any other that
    /// must be accepted.
    pub(crate) fn environment(&self) -> String {
        let keys = [&self.secret, &self.secret_next, &self.secret_previous];
        let keys = keys
            .into_iter()
            .flatten()
            .map(String::as_str)
            .filter(|key| is_key(key));
        keys.collect::<Vec<_>>().join(" ")
    }

    /// Whether a rotation was begun and not finished.
    pub(crate) fn is_rotating(&self) -> bool {
        self.secret.is_some() && (self.secret_next.is_some() || self.secret_previous.is_some())
    }
}

/// Whether a secret has the form `whsec_<base64>`. One that has not would stop the function.
pub(crate) fn is_key(secret: &str) -> bool {
    let base64 = |text: &str| {
        text.len() >= 32
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
    };
    secret.strip_prefix("whsec_").is_some_and(base64)
}

/// The extensions, made where they are missing and can be had.
pub(crate) async fn create_extensions(
    database: &Database,
    state: &State,
) -> Result<Vec<&'static str>> {
    let wanted = [
        (
            state.has_vault,
            "supabase_vault",
            "create extension if not exists supabase_vault cascade",
        ),
        (
            state.has_net,
            "pg_net",
            "create extension if not exists pg_net",
        ),
        (
            state.has_cron,
            "pg_cron",
            "create extension if not exists pg_cron",
        ),
    ];
    let mut made = Vec::new();
    for (_, name, sql) in wanted.into_iter().filter(|(is_there, ..)| !is_there) {
        match database.run(sql).await {
            Ok(()) => made.push(name),
            // Without it the tick does not run by itself; everything else does.
            Err(_) if name == "pg_cron" => {}
            Err(error) => {
                return Err(error.context(format!(
                    "the extension {name} is missing and cannot be made here"
                )));
            }
        }
    }
    Ok(made)
}

/// Makes a secret of 32 random bytes in the Vault, so that no statement holds it, under the name
/// of the next one: it is in force once it is renamed. The bytes are those of three random UUIDs,
/// 366 bits, hashed: pgcrypto may not be there yet. Returns what there is then.
pub(crate) async fn make_next_secret(database: &Database) -> Result<State> {
    let make = "select vault.create_secret(
           'whsec_' || encode(sha256(
             uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'base64'),
           'supaqueue_secret_next', 'Supaqueue: the key that will sign')
         where not exists (select from vault.secrets s where s.name = 'supaqueue_secret_next');";
    database
        .query(&format!("{make}\n{}", include_str!("state.sql")))
        .await
}

/// Makes the next secret the one that signs; the one before becomes the previous one. Returns what
/// there is then.
pub(crate) async fn promote_next_secret(database: &Database) -> Result<State> {
    database
        .query(&format!(
            "{PROMOTE_NEXT_SECRET}\n{}",
            include_str!("state.sql")
        ))
        .await
}

/// The statements of [`promote_next_secret`].
pub(crate) const PROMOTE_NEXT_SECRET: &str = "
    select vault.update_secret(s.id, new_name => 'supaqueue_secret_previous',
      new_description => 'Supaqueue: the key that signed before')
    from vault.secrets s
    where s.name = 'supaqueue_secret'
      and exists (select from vault.secrets n where n.name = 'supaqueue_secret_next');
    select vault.update_secret(s.id, new_name => 'supaqueue_secret',
      new_description => 'Supaqueue: signs what is sent to the function, which has it as SUPAQUEUE_SECRET')
    from vault.secrets s
    where s.name = 'supaqueue_secret_next';";

/// Forgets the previous secret.
pub(crate) async fn forget_previous_secret(database: &Database) -> Result<()> {
    database
        .run("delete from vault.secrets where name = 'supaqueue_secret_previous'")
        .await
}

/// The statement that puts a value that is no secret into the Vault, over the one that is there.
pub(crate) fn store(name: &str, value: &str, description: &str) -> String {
    let (name, value, description) = (literal(name), literal(value), literal(description));
    format!(
        "select case
           when s.id is null then vault.create_secret({value}, {name}, {description})::text
           else vault.update_secret(s.id, {value}, new_description => {description})::text
         end
         from (select {name}::text as name) wanted
         left join vault.secrets s using (name);"
    )
}

/// An address as the Vault is to hold it: `https://host`, without a path.
pub(crate) fn check_address(url: &str) -> Result<String> {
    let address = url.trim_end_matches('/');
    let host = address
        .strip_prefix("https://")
        .or_else(|| address.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', ' ', '@']) => {
            Ok(address.to_owned())
        }
        _ => Err(Problem::error(
            format!("{url} is not a project's address"),
            "It has the form https://host or http://host:port, without a path.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_no_path() {
        assert_eq!(
            check_address("https://x.supabase.co/").unwrap(),
            "https://x.supabase.co"
        );
        assert_eq!(
            check_address("http://127.0.0.1:54321").unwrap(),
            "http://127.0.0.1:54321"
        );
        for wrong in [
            "x.supabase.co",
            "https://",
            "https://x/functions/v1",
            "ftp://x",
            "https://a b",
            "https://u:p@x",
        ] {
            assert!(check_address(wrong).is_err(), "{wrong}");
        }
    }

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
