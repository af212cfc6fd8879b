use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

use crate::{Error, Result};

/// One database, as a project has it. Cheap to clone: it holds addresses, not a connection.
#[derive(Debug, Clone)]
pub struct Database {
    name: String,
    url: String,
    admin_url: String,
    authenticator_url: String,
}

impl Database {
    pub(crate) fn new(
        name: String,
        url: String,
        admin_url: String,
        authenticator_url: String,
    ) -> Self {
        Self {
            name,
            url,
            admin_url,
            authenticator_url,
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address for role `postgres`, which owns the database and is not a superuser.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address for the superuser `supabase_admin`: for tests and stand-ins only.
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// The address for role `authenticator`, which the gateway connects as.
    pub fn authenticator_url(&self) -> &str {
        &self.authenticator_url
    }

    /// Connects as role `postgres`.
    pub async fn connect(&self) -> Result<Client> {
        connect(&self.url).await
    }

    /// Connects as the superuser.
    pub async fn connect_as_admin(&self) -> Result<Client> {
        connect(&self.admin_url).await
    }

    /// Connects as the API does for `role` (`anon`, `authenticated`, `service_role`).
    pub async fn connect_as(&self, role: &str) -> Result<Client> {
        let client = connect(&self.authenticator_url).await?;
        client
            .batch_execute(&format!("set role {}", quote_identifier(role)))
            .await
            .map_err(Error::database(format!("cannot become {role}")))?;
        Ok(client)
    }
}

/// Connects, and serves the connection on the current runtime until the client is dropped.
pub async fn connect(url: &str) -> Result<Client> {
    let config: Config = url.parse().map_err(|error| {
        Error::Invalid(format!(
            "this is not the address of a database, such as postgresql://role:password@host:5432/name: {error}"
        ))
    })?;
    let (client, connection) = config
        .connect(NoTls)
        .await
        .map_err(|error| Error::database(format!("cannot connect to {}", place(&config)))(error))?;
    // When the connection ends, every call on the client says so.
    tokio::spawn(connection);
    Ok(client)
}

/// Where an address leads, without its password.
fn place(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".into(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!("Postgres at {host}:{port}")
}

pub(crate) fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

pub(crate) fn quote_literal(text: &str) -> String {
    // An E string means the same whatever standard_conforming_strings is.
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}
