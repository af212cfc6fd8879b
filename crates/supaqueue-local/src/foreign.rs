//! A database that somebody else runs, named by its address.

use tokio_postgres::Client;

use crate::extension::{self, Kind};
use crate::{Database, Error, Result};

/// Makes a database that somebody else runs like a project's, as far as it is not.
pub(crate) async fn set_up(url: String) -> Result<Database> {
    let database = Database::new("".into(), url.clone(), url.clone(), url);
    let client = database.connect().await?;
    let row = client
        .query_one(
            "select
               r.rolsuper,
               array(
                 select name from unnest('{anon,authenticated,service_role}'::text[]) as name
                 where to_regrole(name) is null
               ),
               array(
                 select name::text from pg_available_extensions
                 where name in ('pg_net', 'supabase_vault', 'pg_cron')
               ),
               array(
                 select name from unnest('{net,vault,cron}'::text[]) as name
                 where to_regnamespace(name) is null
               )
             from pg_roles r
             where r.rolname = current_user",
            &[],
        )
        .await
        .map_err(Error::database("cannot read what the database has"))?;
    let is_super: bool = row.get(0);
    let (roles, available, schemas): (Vec<String>, Vec<String>, Vec<String>) =
        (row.get(1), row.get(2), row.get(3));
    if roles.is_empty() && schemas.is_empty() {
        return refuse_hosted(&client).await.map(|()| database);
    }
    if !is_super {
        return Err(Error::Invalid(format!(
            "cannot use this database: it lacks {}, which only a superuser can make; name a superuser in --db-url, or leave it out to use the embedded Postgres",
            roles
                .iter()
                .chain(&schemas)
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", ")
        )));
    }
    for (sql, what) in [
        (include_str!("platform/roles.sql"), "cannot make the roles"),
        (
            include_str!("platform/database.sql"),
            "cannot set up the database",
        ),
    ] {
        client
            .batch_execute(sql)
            .await
            .map_err(Error::database(what))?;
    }
    extension::set_up(&client, |kind: Kind| {
        available.iter().any(|name| name == kind.extension())
    })
    .await?;
    Ok(database)
}

/// Refuses a database whose calls go to a project that is not on this machine: they would be
/// turned to this one.
async fn refuse_hosted(client: &Client) -> Result<()> {
    let rows = client
        .query(
            "select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_url'",
            &[],
        )
        .await
        .map_err(Error::database("cannot read the Vault"))?;
    let Some(url) = rows.first().map(|row| row.get::<_, String>(0)) else {
        return Ok(());
    };
    let host = url
        .split("://")
        .nth(1)
        .unwrap_or(&url)
        .split([':', '/'])
        .next();
    if matches!(
        host,
        Some("127.0.0.1" | "localhost" | "host.docker.internal" | "kong")
    ) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "cannot use this database: it belongs to {url}, whose calls would come here instead; name another database"
    )))
}
