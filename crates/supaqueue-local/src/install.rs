//! What `supaqueue install` does to a database.

use tokio_postgres::Client;

use crate::{Error, Result};

/// Applies one migration in one transaction, as the platform's tools do.
pub(crate) async fn apply(client: &Client, sql: &str, name: &str) -> Result<()> {
    let doing = || format!("cannot apply {name}");
    client
        .batch_execute("begin")
        .await
        .map_err(Error::database(doing()))?;
    match client.batch_execute(sql).await {
        Ok(()) => client
            .batch_execute("commit")
            .await
            .map_err(Error::database(doing())),
        Err(error) => {
            // The first error is the one to tell.
            let _ = client.batch_execute("rollback").await;
            Err(Error::database(doing())(error))
        }
    }
}

/// Applies the migrations that the database lacks, by the numbers that their names begin with.
pub(crate) async fn migrate(client: &Client) -> Result<()> {
    let reading = "cannot read the version of supaqueue";
    let is_there: bool = client
        .query_one(
            "select pg_catalog.to_regclass('supaqueue.version') is not null",
            &[],
        )
        .await
        .map_err(Error::database(reading))?
        .get(0);
    let installed: i32 = if is_there {
        client
            .query_one(
                "select coalesce(max(number), 0)::int from supaqueue.version",
                &[],
            )
            .await
            .map_err(Error::database(reading))?
            .get(0)
    } else {
        0
    };
    for migration in supaqueue_files::migrations() {
        if migration.number > installed {
            apply(client, migration.sql, migration.name).await?;
        }
    }
    Ok(())
}

/// Puts the secret and the address into the Vault, over those that are there.
pub(crate) async fn store(client: &Client, name: &str, value: &str) -> Result<()> {
    client
        .query(
            "select case
               when s.id is null then vault.create_secret($2, $1)::text
               else vault.update_secret(s.id, $2)::text
             end
             from (select $1::text as name) as wanted
             left join vault.secrets s using (name)",
            &[&name, &value],
        )
        .await
        .map(drop)
        .map_err(Error::database(format!("cannot put {name} into the Vault")))
}

/// Has `cron` run the tick.
pub(crate) async fn schedule_tick(client: &Client) -> Result<()> {
    client
        .batch_execute("select supaqueue.schedule_tick()")
        .await
        .map_err(Error::database("cannot schedule the tick"))
}
