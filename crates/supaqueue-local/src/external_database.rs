//! An existing database, given by its address, that this program did not start.

use supaqueue_files::{is_loopback, vault};
use tokio_postgres::Client;
use tokio_postgres::config::Host;
use url::Url;

use crate::extension;
use crate::postgres::{parse, server};
use crate::{Database, Error, Result};

/// Adds what an existing database lacks to work like a hosted project's. Also returns the secret
/// that an earlier stack left in it.
pub(crate) async fn set_up(url: String) -> Result<(Database, Option<String>)> {
    refuse_remote(&url)?;
    let database = Database::new("".into(), url.clone(), url.clone(), url);
    let client = database.connect().await?;
    // Before anything is changed.
    let secret = match has_vault(&client).await? {
        true => {
            refuse_hosted(&client).await?;
            own_secret(&client).await?
        }
        false => None,
    };
    let row = client
        .query_one(
            "select
               r.rolsuper,
               array(
                 select name from unnest('{anon,authenticated,service_role}'::text[]) as name
                 where to_regrole(name) is null
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
        .map_err(Error::database("cannot inspect the database"))?;
    let is_superuser: bool = row.get(0);
    let (roles, schemas): (Vec<String>, Vec<String>) = (row.get(1), row.get(2));
    if roles.is_empty() && schemas.is_empty() {
        return Ok((database, secret));
    }
    if !is_superuser {
        return Err(Error::Invalid(format!(
            "cannot use this database: it lacks {}, which only a superuser can create; connect as a superuser in --db-url, or omit --db-url to use the embedded Postgres",
            [roles, schemas].concat().join(", ")
        )));
    }
    for (sql, doing) in [
        (
            include_str!("platform/roles.sql"),
            "cannot create the roles",
        ),
        (
            include_str!("platform/database.sql"),
            "cannot set up the database",
        ),
    ] {
        client
            .batch_execute(sql)
            .await
            .map_err(Error::database(doing))?;
    }
    let usable = extension::usable(&client).await?;
    extension::set_up(&client, |kind| usable.contains(&kind)).await?;
    Ok((database, secret))
}

/// Refuses a database that is not on this machine: it is changed, and the connection is neither
/// encrypted nor verified.
fn refuse_remote(url: &str) -> Result<()> {
    let config = parse(url)?;
    let names = config.get_hosts().iter().filter_map(|host| match host {
        Host::Tcp(name) => Some(name.as_str()),
        Host::Unix(_) => None,
    });
    if is_loopback(names, config.get_hostaddrs()) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "cannot use the database at {}: it is not on this machine, and a local stack changes its database; use a Postgres on this machine, or omit --db-url to use the embedded one (`supaqueue install --db-url` installs Supaqueue in a project)",
        server(&config)
    )))
}

async fn has_vault(client: &Client) -> Result<bool> {
    let row = client
        .query_one(
            "select to_regclass('vault.secrets') is not null and to_regclass('vault.decrypted_secrets') is not null",
            &[],
        )
        .await
        .map_err(Error::database("cannot inspect the database"))?;
    Ok(row.get(0))
}

/// The secret that an earlier stack left, if there is one. Refuses a database that has any other: a
/// running installation signs with it, and its functions would reject the calls that are signed
/// with ours.
async fn own_secret(client: &Client) -> Result<Option<String>> {
    let rows = client
        .query(
            "select s.name, s.name = 'supaqueue_secret' and s.description = $1 from vault.secrets s
             where s.name like 'supaqueue\\_secret%'",
            &[&vault::LOCAL_SECRET],
        )
        .await
        .map_err(Error::database("cannot read the Vault"))?;
    if let Some(row) = rows
        .iter()
        .find(|row| row.get::<_, Option<bool>>(1) != Some(true))
    {
        let name: &str = row.get(0);
        return Err(Error::Invalid(format!(
            "cannot use this database: Supaqueue is installed in it, and its calls would be redirected to this stack (the Vault has {name}, which no local stack has created); use another database, or remove that installation first: `supaqueue remove --db-url`"
        )));
    }
    let row = client
        .query_opt(
            "select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_secret'",
            &[],
        )
        .await
        .map_err(Error::database("cannot read the Vault"))?;
    Ok(row.map(|row| row.get(0)))
}

/// Refuses a database that calls a project on another machine: installing would redirect its calls
/// to this stack.
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
    if is_local(&url) {
        return Ok(());
    }
    Err(Error::Invalid(format!(
        "cannot use this database: it belongs to {url}, and its calls would be redirected to this stack; use another database"
    )))
}

/// Whether a project's address leads to this machine; `host.docker.internal` and `kong` do in the
/// containers of `supabase start`.
fn is_local(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| {
        matches!(
            url.host_str(),
            Some("127.0.0.1" | "localhost" | "host.docker.internal" | "kong")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_are_local() {
        for (url, want) in [
            ("http://127.0.0.1:54321", true),
            ("http://localhost", true),
            ("http://kong:8000", true),
            ("http://host.docker.internal:54321/", true),
            ("https://ref.supabase.co", false),
            ("https://localhost.example.com", false),
            ("https://localhost@example.com", false),
            ("https://localhost:x@example.com", false),
            ("127.0.0.1:54321", false),
        ] {
            assert_eq!(is_local(url), want, "{url}");
        }
    }
}
