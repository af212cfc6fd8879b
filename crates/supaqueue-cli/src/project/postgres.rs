//! A direct connection to Postgres.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio_postgres::config::Config;
use tokio_postgres::{Client, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::user_error::user_error;

/// Connects. If the URL has no password, PGPASSWORD is used, which keeps it off the command line.
pub(crate) async fn connect(url: &str, limit: Duration) -> Result<Client> {
    let mut config: Config = url.parse().map_err(|error: tokio_postgres::Error| {
        user_error(
            format!("--db-url is not a Postgres URL: {}", root_cause(&error)),
            "Use the form postgresql://postgres@host:5432/postgres; the password can be in PGPASSWORD.",
        )
    })?;
    if let (None, Some(password)) = (config.get_password(), std::env::var_os("PGPASSWORD")) {
        config.password(password.to_string_lossy().as_bytes());
    }
    config
        .application_name("supaqueue")
        .connect_timeout(limit.min(Duration::from_secs(30)));
    let (client, connection) = config.connect(tls()?).await.map_err(|error| {
        user_error(
            format!("cannot connect to the database: {}", root_cause(&error)),
            "Check the host, port, user and password in --db-url (the password can be in PGPASSWORD) and run this again.",
        )
    })?;
    tokio::spawn(connection);
    Ok(client)
}

/// Runs statements as one transaction and returns the first column of the last row.
pub(crate) async fn run(client: &Client, sql: &str) -> Result<Option<String>> {
    let messages = client
        .simple_query(sql)
        .await
        .map_err(|error| match error.as_db_error() {
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

/// The error for a statement that the database rejected.
pub(super) fn statement_error(message: &str, hint: Option<&str>) -> anyhow::Error {
    user_error(
        format!("the database rejected a statement: {message}"),
        hint.unwrap_or("The statement was rolled back. Fix the cause and run this again."),
    )
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

/// TLS as in libpq's `sslmode=prefer` and `require`, which do not verify the server's certificate.
/// (Supabase's databases use certificates of its own authority.)
fn tls() -> Result<MakeRustlsConnect> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .context("cannot set up TLS")?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// Accepts every certificate.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
