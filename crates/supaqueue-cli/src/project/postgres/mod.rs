//! A direct connection to Postgres.

mod address;
mod tls;

use std::time::Duration;

use anyhow::Result;
use rustls::CertificateError;
use tokio::time::timeout;
use tokio_postgres::config::{Config, SslNegotiation};
use tokio_postgres::{Client, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::user_error::user_error;
use address::{Address, Protection, host, is_local};
pub(crate) use address::{TlsOptions, place, without_password};

/// How long to wait for the server to take notice of a cancelled statement.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);

/// A connection.
pub(crate) struct Connection {
    client: Client,
    config: Box<Config>,
    tls: MakeRustlsConnect,
    pub(super) limit: Duration,
    /// How it is protected, in words.
    pub(crate) protection: &'static str,
}

impl Connection {
    /// Connects. If the URL has no password, PGPASSWORD is used, which keeps it off the command line.
    /// `limit` holds for this, and for each statement.
    pub(crate) async fn open(url: &str, options: &TlsOptions, limit: Duration) -> Result<Self> {
        let Address {
            mut config,
            protection,
        } = Address::parse(url, options)?;
        if let (None, Some(password)) = (config.get_password(), std::env::var_os("PGPASSWORD")) {
            config.password(password.to_string_lossy().as_bytes());
        }
        config
            .application_name("supaqueue")
            .connect_timeout(limit.min(Duration::from_secs(30)));
        let is_direct = config.get_ssl_negotiation() == SslNegotiation::Direct;
        let tls = tls::connector(&protection, is_direct)?;
        // The timeout in the configuration ends with the TCP connection; a server can be silent later, too.
        let connected = timeout(limit, config.connect(tls.clone())).await;
        let (client, connection) = connected
            .map_err(|_| {
                user_error(
                    format!(
                        "cannot connect to the database: {} did not answer within {} s",
                        host(&config),
                        limit.as_secs()
                    ),
                    "Check host and port in --db-url, and that it is a Postgres server; --timeout allows more time.",
                )
            })?
            .map_err(|error| connection_error(&error, &config))?;
        tokio::spawn(connection);
        Ok(Self {
            client,
            tls,
            limit,
            protection: match protection {
                Protection::Verified(_) => "its certificate is verified",
                _ if is_local(&config) => "on this machine",
                _ => "INSECURE: it is not verified who answers",
            },
            config: Box::new(config),
        })
    }

    /// The database and its host, in words.
    pub(crate) fn place(&self) -> String {
        let database = self.config.get_dbname().or(self.config.get_user());
        format!("{} at {}", database.unwrap_or_default(), host(&self.config))
    }

    /// What further connections are made with.
    pub(crate) fn again(&self) -> (Config, MakeRustlsConnect) {
        (*self.config.clone(), self.tls.clone())
    }

    /// Runs statements as one transaction and returns the first column of the last row.
    pub(crate) async fn run(&self, sql: &str) -> Result<Option<String>> {
        let Ok(messages) = timeout(self.limit, self.client.simple_query(sql)).await else {
            // Otherwise it might still take effect, after it was reported as failed.
            let token = self.client.cancel_token();
            let _ = timeout(CANCEL_LIMIT, token.cancel_query(self.tls.clone())).await;
            return Err(user_error(
                format!(
                    "the database did not execute a statement within {} s",
                    self.limit.as_secs()
                ),
                "The statement was cancelled. See what it waited for (select * from pg_stat_activity where state <> 'idle'), and run this again; --timeout allows more time.",
            ));
        };
        let messages = messages.map_err(|error| match error.as_db_error() {
            Some(db) => {
                let message = format!("{}: {}", db.code().code(), db.message());
                statement_error(&message, db.hint())
            }
            None => user_error(
                format!(
                    "the connection to the database failed: {}",
                    root_cause(&error)
                ),
                "Check that the database is running, and run this again.",
            ),
        })?;
        let last = messages.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(last
            .and_then(|row| row.try_get(0).ok().flatten())
            .map(str::to_owned))
    }
}

/// The error for a statement that the database rejected.
pub(super) fn statement_error(message: &str, hint: Option<&str>) -> anyhow::Error {
    user_error(
        format!("the database rejected a statement: {message}"),
        hint.unwrap_or("The statement was rolled back. Fix the cause and run this again."),
    )
}

/// The error for a connection that failed.
fn connection_error(error: &tokio_postgres::Error, config: &Config) -> anyhow::Error {
    let cause = root_cause(error);
    let host = host(config);
    if let Some(certificate) = certificate_error(error) {
        return certificate_rejected(&certificate, &host);
    }
    // The library has no other mark of it.
    if cause == "server does not support TLS" {
        return user_error(
            format!("cannot connect to the database: {host} refuses TLS; no password was sent"),
            match is_local(config) {
                true => "Turn on `ssl` in the server's configuration, or remove sslmode and --ca.",
                false => {
                    "Turn on `ssl` in the server's configuration. --insecure-db-connection permits plain text, for a network that nobody else can reach."
                }
            },
        );
    }
    user_error(
        format!("cannot connect to the database: {cause}"),
        "Check the host, port, user and password in --db-url (the password can be in PGPASSWORD) and run this again.",
    )
}

fn certificate_rejected(error: &CertificateError, host: &str) -> anyhow::Error {
    let (why, remedy) = match error {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => (
            error.to_string(),
            "Use a name in --db-url that the certificate has. Where only the address differs, as with a tunnel, add it: ?hostaddr=ADDRESS.",
        ),
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => (
            error.to_string(),
            "Renew the server's certificate, or correct the clock of this machine.",
        ),
        _ if tls::is_supabase(host) => (
            format!("no authority that is trusted has signed it ({error})"),
            "Someone else may be answering. If not, Supabase has a new authority: download its certificate in the dashboard (Settings → Database → SSL Configuration), and pass it with --ca FILE.",
        ),
        _ => (
            format!("no authority that is trusted has signed it ({error})"),
            "If the server has an authority of its own, or signs for itself, pass that certificate with --ca FILE. Otherwise someone else may be answering. --insecure-db-connection connects without verification.",
        ),
    };
    user_error(
        format!(
            "cannot connect to the database: the certificate of {host} is not accepted, and no password was sent: {why}"
        ),
        remedy,
    )
}

/// The reason for which a server's certificate was rejected.
fn certificate_error(error: &tokio_postgres::Error) -> Option<CertificateError> {
    let cause = std::error::Error::source(error)?.downcast_ref::<std::io::Error>()?;
    match cause.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(error) => Some(error.clone()),
        _ => None,
    }
}

/// The message of an error's root cause; `tokio_postgres` only names the kind of failure.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = cause.to_string();
        source = cause.source();
    }
    message
}
