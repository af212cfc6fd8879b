use std::time::Duration;

use postgres_protocol::escape::escape_identifier;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

use crate::{Error, Result};

/// How long a server may be silent while a connection is made.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// A database set up like a hosted project's. Cheap to clone: it holds addresses, not a connection.
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

    /// The name of the database; empty for an external one.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address for role `postgres`, which owns the database and is not a superuser.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address for the superuser `supabase_admin`: only for tests and emulated extensions.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        &self.admin_url
    }

    /// The address for role `authenticator`, which the gateway connects as.
    #[must_use]
    pub fn authenticator_url(&self) -> &str {
        &self.authenticator_url
    }

    /// Connects as role `postgres`.
    ///
    /// # Errors
    /// Those of [`connect`].
    pub async fn connect(&self) -> Result<Client> {
        connect(&self.url).await
    }

    /// Connects as the superuser.
    ///
    /// # Errors
    /// Those of [`connect`].
    pub async fn connect_as_admin(&self) -> Result<Client> {
        connect(&self.admin_url).await
    }

    /// Connects as the API does for `role` (`anon`, `authenticated`, `service_role`).
    ///
    /// # Errors
    /// Those of [`connect`], and [`Error::Database`] if `authenticator` may not assume the role.
    pub async fn connect_as(&self, role: &str) -> Result<Client> {
        let client = connect(&self.authenticator_url).await?;
        client
            .batch_execute(&format!("set role {}", escape_identifier(role)))
            .await
            .map_err(Error::database(format!("cannot assume role {role}")))?;
        Ok(client)
    }
}

/// Connects to a database. The connection is driven on the current runtime until the client is
/// dropped.
///
/// # Errors
/// [`Error::Invalid`] if `url` is not a database address, [`Error::Database`] or [`Error::TooSlow`]
/// if the connection fails.
pub async fn connect(url: &str) -> Result<Client> {
    let config = parse(url)?;
    let doing = || format!("cannot connect to Postgres at {}", server(&config));
    let connected = tokio::time::timeout(CONNECT_LIMIT, config.connect(NoTls)).await;
    let (client, connection) = connected
        .map_err(|_| Error::TooSlow(doing(), CONNECT_LIMIT.as_secs()))?
        .map_err(|error| Error::database(doing())(error))?;
    // When the connection ends, calls on the client return the error.
    tokio::spawn(connection);
    Ok(client)
}

pub(crate) fn parse(url: &str) -> Result<Config> {
    url.parse().map_err(|error| {
        Error::Invalid(format!(
            "not a database address like postgresql://role:password@host:5432/name: {error}"
        ))
    })
}

/// The host and port of an address, without its password.
pub(crate) fn server(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(host)) => host.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".into(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    format!("{host}:{port}")
}
