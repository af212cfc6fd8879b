//! What a database has of Supaqueue already, and how that is changed.

use anyhow::Result;
use supaqueue_files::{State, vault};

use super::database::Database;
use crate::problem::Problem;

/// Reads it.
pub(crate) async fn read(database: &Database) -> Result<State> {
    database.query(State::QUERY).await
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

/// Makes the next secret, unless there is one. Returns what there is then.
pub(crate) async fn make_next_secret(database: &Database) -> Result<State> {
    database
        .query(&format!("{}\n{}", vault::MAKE_NEXT_SECRET, State::QUERY))
        .await
}

/// Makes the next secret the one that signs. Returns what there is then.
pub(crate) async fn promote_next_secret(database: &Database) -> Result<State> {
    database
        .query(&format!("{}\n{}", vault::PROMOTE_NEXT_SECRET, State::QUERY))
        .await
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
}
