//! A database's URL: where it leads, and how the connection is protected.

use std::fmt::{self, Display};
use std::path::PathBuf;

use anyhow::Result;
use supaqueue_files::is_loopback;
use tokio_postgres::config::{Config, Host, SslMode};
use url::form_urlencoded;

use super::root_cause;
use crate::user_error::user_error;

/// How a connection to a database is protected.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct TlsOptions {
    /// For the database's TLS, trust only the certificates in this PEM file [default: the system's, and Supabase's for its hosts]
    #[arg(long, value_name = "FILE", conflicts_with = "project_ref")]
    pub(crate) ca: Option<PathBuf>,
    /// Insecure: connect to the database without verifying who answers, or in plain text if it has no TLS. Anyone on the way can read the password and change what is sent
    #[arg(long, conflicts_with_all = ["project_ref", "ca"])]
    pub(crate) insecure_db_connection: bool,
}

/// Where to connect, and how.
pub(super) struct Address {
    pub(super) config: Config,
    pub(super) protection: Protection,
}

/// What protects a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Protection {
    /// TLS with a certificate for the host that is trusted.
    Verified(Trust),
    /// TLS with any certificate.
    Unverified,
    /// TLS with any certificate, or no TLS.
    UnverifiedOrPlain,
    /// No TLS.
    PlainText,
}

/// Whose certificates are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trust {
    Platform,
    File(PathBuf),
}

/// What the URL asks for. libpq gives some of these modes less than their names promise: there,
/// `prefer` falls back to plain text, `require` verifies nothing, and `verify-ca` accepts the
/// certificate of any host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    Verify,
}

impl Address {
    /// Parses a URL.
    pub(super) fn parse(url: &str, options: &TlsOptions) -> Result<Self> {
        let invalid = |why: &dyn Display| {
            user_error(
                format!("--db-url is not a Postgres URL: {why}"),
                "Use the form postgresql://postgres@host:5432/postgres; the password can be in PGPASSWORD.",
            )
        };
        let mut parts = Parts::split(url).map_err(|why| invalid(&why))?;
        let mode = parts.take("sslmode");
        let mode = mode.as_deref().map_or(Ok(Mode::Prefer), Mode::parse)?;
        let authority = parts.take("sslrootcert");
        let mut config: Config = parts
            .to_string()
            .parse()
            .map_err(|error: tokio_postgres::Error| invalid(&root_cause(&error)))?;
        let trust = match (&options.ca, authority) {
            (Some(path), _) => Some(Trust::File(path.clone())),
            (None, Some(system)) if system == "system" => Some(Trust::Platform),
            (None, path) => path.map(|path| Trust::File(path.into())),
        };
        let protection = protection(mode, trust, is_local(&config), options)
            .ok_or_else(|| plain_text(&host(&config)))?;
        config.ssl_mode(match protection {
            Protection::Verified(_) | Protection::Unverified => SslMode::Require,
            Protection::UnverifiedOrPlain => SslMode::Prefer,
            Protection::PlainText => SslMode::Disable,
        });
        Ok(Self { config, protection })
    }
}

/// `None`: a connection in plain text that nobody permitted.
fn protection(
    mode: Mode,
    trust: Option<Trust>,
    is_local: bool,
    options: &TlsOptions,
) -> Option<Protection> {
    let is_insecure = options.insecure_db_connection;
    Some(match mode {
        Mode::Disable if is_local || is_insecure => Protection::PlainText,
        Mode::Disable => return None,
        Mode::Prefer if is_insecure || (is_local && trust.is_none()) => {
            Protection::UnverifiedOrPlain
        }
        Mode::Require if is_insecure => Protection::Unverified,
        Mode::Prefer | Mode::Require | Mode::Verify => {
            Protection::Verified(trust.unwrap_or(Trust::Platform))
        }
    })
}

fn plain_text(host: &str) -> anyhow::Error {
    user_error(
        format!(
            "sslmode=disable in --db-url would send the password in plain text to {host}, which is not this machine"
        ),
        "Remove sslmode from the URL. --insecure-db-connection permits plain text, for a network that nobody else can reach.",
    )
}

/// Whether the server is on this machine.
pub(super) fn is_local(config: &Config) -> bool {
    let names = config.get_hosts().iter().filter_map(|host| match host {
        Host::Tcp(name) => Some(name.as_str()),
        #[cfg(unix)]
        Host::Unix(_) => None,
    });
    is_loopback(names, config.get_hostaddrs())
}

/// The host that is meant, for messages.
pub(super) fn host(config: &Config) -> String {
    let name = config.get_hosts().first().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        #[cfg(unix)]
        Host::Unix(path) => path.display().to_string(),
    });
    let address = config.get_hostaddrs().first().map(ToString::to_string);
    name.or(address).unwrap_or_default()
}

/// A URL without its password, and whether it had one.
pub(crate) fn without_password(url: &str) -> (String, bool) {
    let Ok(mut parts) = Parts::split(url) else {
        // A URL that cannot be parsed may still contain a password.
        return ("postgresql://HOST:PORT/DATABASE".into(), true);
    };
    let user = parts.credentials.and_then(|text| text.split_once(':'));
    let has_password = parts.take("password").is_some() | user.is_some();
    if let Some((user, _)) = user {
        parts.credentials = Some(user);
    }
    (parts.to_string(), has_password)
}

/// Host, port and database of a URL, as far as it says them there.
pub(crate) fn place(url: &str) -> Option<&str> {
    let place = Parts::split(url).ok()?.place;
    (!place.is_empty()).then_some(place)
}

/// A URL, split where `tokio_postgres` splits it.
struct Parts<'a> {
    scheme: &'a str,
    credentials: Option<&'a str>,
    /// Hosts, ports and the database.
    place: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl<'a> Parts<'a> {
    fn split(url: &'a str) -> Result<Self, &'static str> {
        let (scheme, rest) = url.split_once("://").ok_or("it has no scheme")?;
        if !matches!(scheme, "postgres" | "postgresql") {
            return Err("its scheme is not postgresql");
        }
        let (credentials, rest) = match rest.split_once('@') {
            Some((credentials, rest)) => (Some(credentials), rest),
            None => (None, rest),
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        let parameters = query.split('&').filter(|text| !text.is_empty());
        let parameters = parameters.map(|text| text.split_once('='));
        Ok(Self {
            scheme,
            credentials,
            place,
            parameters: parameters
                .collect::<Option<_>>()
                .ok_or("a parameter has no value")?,
        })
    }

    /// Removes a parameter. As in libpq, the last one counts.
    fn take(&mut self, name: &str) -> Option<String> {
        let found = self
            .parameters
            .extract_if(.., |(key, _)| decode(key) == name);
        found.last().map(|(_, value)| decode(value))
    }
}

impl Display for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some(credentials) = self.credentials {
            write!(f, "{credentials}@")?;
        }
        write!(f, "{}", self.place)?;
        for (number, (key, value)) in self.parameters.iter().enumerate() {
            let separator = if number == 0 { '?' } else { '&' };
            write!(f, "{separator}{key}={value}")?;
        }
        Ok(())
    }
}

/// Decodes percent signs; unlike in a form, a plus sign is one.
fn decode(text: &str) -> String {
    let text = text.replace('+', "%2B");
    let decoded = form_urlencoded::parse(text.as_bytes()).next();
    decoded.map_or_else(String::new, |(text, _)| text.into_owned())
}

impl Mode {
    fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "disable" => Self::Disable,
            "allow" | "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" | "verify-full" => Self::Verify,
            _ => {
                return Err(user_error(
                    format!("--db-url has an unknown sslmode: {text}"),
                    "Use verify-full, or remove sslmode from the URL: only this machine's databases are not verified.",
                ));
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REMOTE: &str = "postgresql://me:secret@db.example.com/mine";
    const LOCAL: &str = "postgres://me@localhost:5433/mine";

    fn parse(url: &str, options: &TlsOptions) -> Result<Protection, String> {
        Address::parse(url, options)
            .map(|address| address.protection)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_mode_is_verified_unless_the_server_is_local_or_the_flag_is_given() {
        use Protection::{PlainText, Unverified, UnverifiedOrPlain, Verified};
        let verified = || Some(Verified(Trust::Platform));
        // The mode; then the protection of a remote server, of a local one, and with the flag.
        let cases = [
            ("", verified(), Some(UnverifiedOrPlain), UnverifiedOrPlain),
            (
                "allow",
                verified(),
                Some(UnverifiedOrPlain),
                UnverifiedOrPlain,
            ),
            (
                "prefer",
                verified(),
                Some(UnverifiedOrPlain),
                UnverifiedOrPlain,
            ),
            ("require", verified(), verified(), Unverified),
            (
                "verify-ca",
                verified(),
                verified(),
                Verified(Trust::Platform),
            ),
            (
                "verify-full",
                verified(),
                verified(),
                Verified(Trust::Platform),
            ),
            ("disable", None, Some(PlainText), PlainText),
            ("sometimes", None, None, PlainText),
        ];
        let insecure = TlsOptions {
            insecure_db_connection: true,
            ..TlsOptions::default()
        };
        for (mode, remote, local, with_flag) in cases {
            let url = |base: &str| match mode {
                "" => base.to_owned(),
                mode => format!("{base}?connect_timeout=3&sslmode={mode}"),
            };
            let by_default = |base| parse(&url(base), &TlsOptions::default()).ok();
            assert_eq!(by_default(REMOTE), remote, "{mode} remote");
            assert_eq!(by_default(LOCAL), local, "{mode} local");
            if mode != "sometimes" {
                let flagged = parse(&url(REMOTE), &insecure).unwrap();
                assert_eq!(flagged, with_flag, "{mode} with the flag");
            }
        }
        let error = parse(&format!("{REMOTE}?sslmode=disable"), &TlsOptions::default());
        let error = error.unwrap_err();
        assert!(error.contains("plain text to db.example.com"), "{error}");
        let error = parse(
            &format!("{LOCAL}?sslmode=sometimes"),
            &TlsOptions::default(),
        );
        assert!(error.unwrap_err().contains("unknown sslmode: sometimes"));
    }

    #[test]
    fn no_spelling_of_a_url_makes_a_remote_server_local() {
        for url in [
            "postgresql://db.example.com",
            "postgresql://localhost@db.example.com/x",
            "postgresql://localhost,db.example.com/x",
            "postgresql://localhost/x?host=db.example.com",
            "postgresql://localhost/x?hostaddr=192.0.2.1",
            "postgresql://db.example.com/x?hostaddr=127.0.0.1",
            "postgresql://me:p?sslmode=disable@db.example.com/x",
            "postgresql://db.example.com/x?sslmode=disable&sslm%6Fde=require",
        ] {
            let got = parse(url, &TlsOptions::default());
            assert_eq!(got, Ok(Protection::Verified(Trust::Platform)), "{url}");
        }
        for url in [
            "host=db.example.com sslmode=disable",
            "https://db.example.com",
            "postgresql://db.example.com/x?sslmode",
            "postgresql://db.example.com/x?unknown=1",
        ] {
            let error = parse(url, &TlsOptions::default()).unwrap_err();
            assert!(error.contains("not a Postgres URL"), "{url}: {error}");
        }
    }

    #[test]
    fn certificates_in_a_file_are_the_only_trusted_ones_and_local_servers_need_one_too() {
        let file = |path: &str| Ok(Protection::Verified(Trust::File(path.into())));
        let ca = TlsOptions {
            ca: Some("ca.pem".into()),
            ..TlsOptions::default()
        };
        let none = TlsOptions::default();
        for base in [REMOTE, LOCAL] {
            let with = |parameters: &str| format!("{base}?{parameters}");
            assert_eq!(parse(base, &ca), file("ca.pem"));
            assert_eq!(parse(&with("sslrootcert=other.pem"), &ca), file("ca.pem"));
            assert_eq!(
                parse(
                    &with("sslrootcert=%2Ftmp%2Fa+b.pem&sslmode=verify-ca"),
                    &none
                ),
                file("/tmp/a+b.pem")
            );
            assert_eq!(
                parse(&with("sslrootcert=system"), &none),
                Ok(Protection::Verified(Trust::Platform))
            );
        }
    }

    #[test]
    fn channel_binding_is_understood() {
        use tokio_postgres::config::ChannelBinding;
        for (value, want) in [
            ("disable", ChannelBinding::Disable),
            ("prefer", ChannelBinding::Prefer),
            ("require", ChannelBinding::Require),
        ] {
            let url = format!("{REMOTE}?sslmode=require&channel_binding={value}");
            let address = Address::parse(&url, &TlsOptions::default()).unwrap();
            assert_eq!(address.config.get_channel_binding(), want);
        }
    }

    #[test]
    fn a_url_is_shown_without_its_password() {
        for (url, want, had) in [
            (REMOTE, "postgresql://me@db.example.com/mine", true),
            (LOCAL, LOCAL, false),
            (
                "postgres://a:b:c@h/d?sslmode=require&p%61ssword=x&options=-cx%3Dy",
                "postgres://a@h/d?sslmode=require&options=-cx%3Dy",
                true,
            ),
            (
                "host=h password=secret",
                "postgresql://HOST:PORT/DATABASE",
                true,
            ),
        ] {
            assert_eq!(without_password(url), (want.to_owned(), had), "{url}");
        }
        assert_eq!(place(REMOTE), Some("db.example.com/mine"));
        assert_eq!(place("postgresql:///mine?host=h"), Some("/mine"));
        assert_eq!(place("host=h password=secret"), None);
    }
}
