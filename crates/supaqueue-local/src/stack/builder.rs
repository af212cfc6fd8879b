use std::path::PathBuf;
use std::time::Duration;

use super::Stack;
use crate::Result;

/// The Postgres that a stack uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PostgresSource {
    /// A temporary cluster of the Postgres that npm installed, or the one on PATH.
    #[default]
    Embedded,
    /// A temporary cluster of the Postgres in this folder.
    Bin(PathBuf),
    /// A running Postgres on this machine. What the stack creates in it stays there. One that has a
    /// secret that no stack has created is refused: it belongs to an installation.
    Url(String),
}

/// Options of a stack; see [`Stack::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing starts until `start` is called"]
pub struct StackBuilder {
    pub(super) functions: Vec<PathBuf>,
    pub(super) postgres: PostgresSource,
    pub(super) secret: Option<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) port: u16,
    pub(super) public_url: Option<String>,
    pub(super) fsync: bool,
    pub(super) settings: Vec<(String, String)>,
    pub(super) connections: usize,
    pub(super) hop: Duration,
    pub(super) deno: Option<PathBuf>,
    pub(super) wall_clock: Duration,
    pub(super) install: bool,
}

impl Default for StackBuilder {
    fn default() -> Self {
        Self {
            functions: Vec::new(),
            postgres: PostgresSource::default(),
            secret: None,
            env: Vec::new(),
            port: 0,
            public_url: None,
            fsync: false,
            settings: Vec::new(),
            connections: 20,
            hop: Duration::ZERO,
            deno: None,
            wall_clock: Duration::from_secs(150),
            install: true,
        }
    }
}

impl StackBuilder {
    /// Adds a folder of functions, each `<folder>/<name>/index.ts`, with `config.toml` next to the
    /// folder. If several folders contain a function, the first wins. The supaqueue function is
    /// built in and comes last.
    pub fn functions(mut self, folder: impl Into<PathBuf>) -> Self {
        self.functions.push(folder.into());
        self
    }

    /// The Postgres to use.
    pub fn postgres(mut self, source: PostgresSource) -> Self {
        self.postgres = source;
        self
    }

    /// The secret shared by the database and the supaqueue function: `whsec_` and base64. By default
    /// the one that an earlier stack left in the database, or else random.
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// Adds an environment variable for every function.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The gateway's port. A free one by default.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The address that the database and the functions use instead of the gateway's, such as that of
    /// a proxy in front of it. Without a trailing slash.
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.public_url = Some(url.into());
        self
    }

    /// Whether commits wait for the disk; see [`crate::PostgresBuilder::fsync`].
    pub fn fsync(mut self, on: bool) -> Self {
        self.fsync = on;
        self
    }

    /// Adds a setting of a Postgres that the stack starts.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// The maximum number of connections from the gateway to Postgres. 20 by default.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// A delay of each request through the gateway, to functions and to the database. None by default;
    /// on a hosted project a request travels for 10 to 40 ms.
    pub fn hop(mut self, delay: Duration) -> Self {
        self.hop = delay;
        self
    }

    /// The Deno that runs the functions. By default `SUPAQUEUE_DENO`, else the one that npm installed,
    /// else the one on PATH.
    pub fn deno(mut self, program: impl Into<PathBuf>) -> Self {
        self.deno = Some(program.into());
        self
    }

    /// The wall clock limit of an isolate. 150 s by default, as on the free plan.
    pub fn wall_clock(mut self, limit: Duration) -> Self {
        self.wall_clock = limit;
        self
    }

    /// Whether to install Supaqueue, as `supaqueue install` does. On by default. If off, neither the
    /// database nor the functions and their secrets contain anything of Supaqueue.
    pub fn install(mut self, on: bool) -> Self {
        self.install = on;
        self
    }

    /// Starts the stack. If that fails, nothing keeps running.
    ///
    /// # Errors
    /// [`Error::NoPostgres`](crate::Error::NoPostgres) or [`Error::NoDeno`](crate::Error::NoDeno)
    /// if a program is missing, [`Error::Invalid`](crate::Error::Invalid) if an option cannot be
    /// used, otherwise the error of the program, file or statement that failed.
    pub async fn start(self) -> Result<Stack> {
        super::start::start(self).await
    }
}
