//! Installs Supaqueue in a database, with the SQL that `supaqueue install` runs.

use supaqueue_files::{DatabaseState, upgrade, vault};
use tokio_postgres::Client;

use crate::{Error, Result};

/// Brings the schema to the version in this program, and stores secret and URL in the Vault. The
/// caller has made sure that there is no other secret.
pub(crate) async fn install(client: &Client, secret: &str, url: &str) -> Result<()> {
    let reading = "cannot read what the database has of supaqueue";
    let state = client
        .simple_query(DatabaseState::QUERY)
        .await
        .map_err(Error::database(reading))?
        .iter()
        .find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .unwrap_or_default();
    let state: DatabaseState = serde_json::from_str(&state)
        .map_err(|error| Error::Invalid(format!("{reading}: {error}")))?;
    let upgrade = upgrade(&state, None).map_err(|error| Error::Invalid(error.to_string()))?;
    for transaction in upgrade.transactions {
        client
            .batch_execute(&transaction)
            .await
            .map_err(Error::database("cannot apply the schema"))?;
    }
    let mut statements = vault::upsert_url(url);
    if state.secret.as_deref() != Some(secret) {
        statements += &vault::upsert_local_secret(secret);
    }
    client
        .batch_execute(&statements)
        .await
        .map_err(Error::database(
            "cannot store the secret and the URL in the Vault",
        ))
}

/// Has `cron` run the tick.
pub(crate) async fn schedule_tick(client: &Client) -> Result<()> {
    client
        .batch_execute(supaqueue_files::SCHEDULE_TICK)
        .await
        .map_err(Error::database("cannot schedule the tick"))
}
