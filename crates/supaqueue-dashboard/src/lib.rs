//! The web interface of a project's queues: pages made on the server, for one database.
//!
//! It reads through the views and functions that every user has, in read-only transactions, and acts only
//! through the public SQL surface: what an action runs is on the page that asks for it. A screen is a function
//! from a `context::Context` to a page (`screen`), an action a function from form fields to a statement (`action`).
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod access;
mod action;
mod app;
mod assets;
mod chart;
mod context;
mod database;
mod error;
mod fields;
mod graph;
mod json;
mod layout;
mod screen;
mod search;
mod sql;
mod text;
mod time;
mod timeline;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

pub use deadpool_postgres::ConfigConnectImpl;
use deadpool_postgres::Connect;
use tokio::net::TcpListener;
use tokio_postgres::Config;

use access::Gate;
use app::App;
use database::Database;

/// What is served, and to whom.
#[derive(Debug)]
pub struct Options {
    /// The name of the project, for titles and questions.
    pub project: String,
    /// Who gets in.
    pub access: Access,
    /// Refuse all actions, and open only sessions that cannot write.
    pub is_read_only: bool,
}

/// Who gets in.
pub enum Access {
    /// Whoever has the link with the token, on this machine.
    Token {
        /// The port on 127.0.0.1; 0 for a free one.
        port: u16,
    },
    /// Whoever knows the password, from other machines, too.
    Password {
        /// Where to listen.
        listen: SocketAddr,
        /// The names, with ports other than 80 and 443, under which browsers reach it. Empty: the address itself.
        hosts: Vec<String>,
        /// The password, of at least [`MIN_PASSWORD`] characters.
        password: String,
    },
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token { port } => f.debug_struct("Token").field("port", port).finish(),
            Self::Password { listen, hosts, .. } => f
                .debug_struct("Password")
                .field("listen", listen)
                .field("hosts", hosts)
                .finish_non_exhaustive(),
        }
    }
}

/// The length that a password must have, in characters.
pub const MIN_PASSWORD: usize = 12;

/// Why it cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    /// The password is too short.
    #[error("the password has less than {MIN_PASSWORD} characters")]
    ShortPassword,
    /// It listens on every address, so that its names are unknown.
    #[error("cannot tell which host names {0} is reached by")]
    NoHost(SocketAddr),
    /// The connection pool cannot be set up.
    #[error("cannot set up the connections to the database: {0}")]
    Pool(String),
}

/// A dashboard that listens and is not served yet.
pub struct Dashboard {
    listener: TcpListener,
    app: Arc<App>,
    link: String,
}

impl Dashboard {
    /// Binds the port. The database need not be reachable yet.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn bind(
        options: Options,
        config: Config,
        connect: impl Connect + 'static,
    ) -> Result<Self, Error> {
        let address = match &options.access {
            Access::Token { port } => SocketAddr::from((Ipv4Addr::LOCALHOST, *port)),
            Access::Password { listen, .. } => *listen,
        };
        let database = Database::new(config, connect, options.is_read_only)
            .map_err(|error| Error::Pool(error.to_string()))?;
        let failed = |error| Error::Listen(address, error);
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (gate, link) = Gate::new(options.access, address)?;
        Ok(Self {
            listener,
            app: Arc::new(App::new(
                options.project,
                options.is_read_only,
                database,
                gate,
            )),
            link,
        })
    }

    /// The link to open. With [`Access::Token`], it lets its reader in.
    #[must_use]
    pub fn link(&self) -> &str {
        &self.link
    }

    /// Serves until the future is dropped.
    pub async fn serve(self) {
        // It returns no error: what fails is a connection.
        let _ = axum::serve(self.listener, app::router(self.app)).await;
    }
}
