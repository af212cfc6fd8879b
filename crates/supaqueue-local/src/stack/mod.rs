//! A running stack: Postgres, gateway, functions and Supaqueue.

mod builder;
mod start;

use std::sync::Arc;

use tokio::sync::broadcast;

pub use builder::{PostgresSource, StackBuilder};

use crate::emulation::EmulatedExtensions;
use crate::extension::Extensions;
use crate::folder::Folder;
use crate::gateway::{Backend, Gateway, Keys};
use crate::log::{LogLine, LogSink};
use crate::postgres::{Database, Postgres};
use crate::{Error, Result};

/// A running stack. It ends when it is stopped or dropped or the program dies, and leaves nothing on
/// disk. [`Self::stop`] is an orderly shutdown: functions stop first, while they can still report.
#[derive(Debug)]
pub struct Stack {
    gateway: Gateway,
    emulated: EmulatedExtensions,
    backend: Arc<Backend>,
    url: String,
    secret: String,
    logs: LogSink,
    database: Database,
    folder: Folder,
    postgres: Option<Postgres>,
    postgres_version: String,
}

impl Stack {
    /// The defaults: the embedded Postgres, only the supaqueue function, free ports.
    pub fn builder() -> StackBuilder {
        StackBuilder::default()
    }

    /// The project's address, such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn gateway_url(&self) -> &str {
        &self.url
    }

    /// The project's database.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The database's address for role `postgres`, which is not a superuser.
    #[must_use]
    pub fn db_url(&self) -> &str {
        self.database.url()
    }

    /// The database's address for the superuser: only for tests and emulated extensions.
    #[must_use]
    pub fn admin_url(&self) -> &str {
        self.database.admin_url()
    }

    /// The cluster, unless the stack uses an external one.
    #[must_use]
    pub fn postgres(&self) -> Option<&Postgres> {
        self.postgres.as_ref()
    }

    /// The version of Postgres, such as `17.9`.
    #[must_use]
    pub fn postgres_version(&self) -> &str {
        &self.postgres_version
    }

    /// The API keys of the project.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.backend.keys
    }

    /// The legacy key of role `service_role`, a JWT.
    #[must_use]
    pub fn service_role_key(&self) -> &str {
        self.keys().service_role()
    }

    /// The legacy key of role `anon`, a JWT.
    #[must_use]
    pub fn anon_key(&self) -> &str {
        self.keys().anon()
    }

    /// The secret shared by the database and the supaqueue function.
    #[must_use]
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The names of the functions, sorted.
    #[must_use]
    pub fn functions(&self) -> Vec<String> {
        self.backend.functions.names()
    }

    /// Subscribes to the output of functions and the errors of emulated extensions.
    #[must_use]
    pub fn logs(&self) -> broadcast::Receiver<LogLine> {
        self.logs.subscribe()
    }

    /// The real extensions; the others are emulated.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        self.emulated.extensions()
    }

    /// Restarts Postgres on the same port; see [`Postgres::restart`].
    ///
    /// # Errors
    /// Those of [`Postgres::restart`], and [`Error::Invalid`] for an external Postgres.
    pub async fn restart_postgres(&self, kill: bool) -> Result<()> {
        match &self.postgres {
            Some(postgres) => postgres.restart(kill).await,
            None => Err(Error::Invalid("cannot restart an external Postgres".into())),
        }
    }

    /// Kills a function's isolates. The next request starts a new one.
    pub async fn kill_function(&self, name: &str) {
        self.backend.functions.kill(name).await;
    }

    /// Stops a function's isolates: they receive `beforeunload` and are killed after five seconds.
    /// The next request starts a new one with the current code.
    pub async fn stop_function(&self, name: &str) {
        self.backend.functions.stop(name).await;
    }

    /// Sets an environment variable of every function, overriding even the platform's. Applies to
    /// isolates started later; see [`Self::stop_function`].
    pub fn set_env(&self, name: &str, value: &str) {
        self.backend.functions.set_overrides(|overrides| {
            overrides.variables.retain(|(set, _)| set != name);
            overrides
                .variables
                .push((name.to_owned(), value.to_owned()));
        });
    }

    /// Sets the functions' clock ahead of ours by so many milliseconds, or behind it if negative.
    /// Applies to isolates started later; see [`Self::stop_function`].
    pub fn set_clock_offset(&self, milliseconds: i64) {
        self.backend
            .functions
            .set_overrides(|overrides| overrides.clock_offset_ms = milliseconds);
    }

    /// The process id of a function's current isolate, if one is running.
    pub async fn function_pid(&self, name: &str) -> Option<i32> {
        self.backend.functions.pid(name).await
    }

    /// The process ids of a function's isolates: the current one, and retired ones that are finishing
    /// their work.
    pub async fn function_pids(&self, name: &str) -> Vec<i32> {
        self.backend.functions.pids(name).await
    }

    /// Crashes the `net` worker, real or emulated, which empties its tables.
    ///
    /// # Errors
    /// Those of [`EmulatedExtensions::kill_net`], and [`Error::Invalid`] for an external Postgres,
    /// whose process ids may be those of a container.
    pub async fn kill_net_worker(&self) -> Result<()> {
        if self.postgres.is_none() {
            return Err(Error::Invalid(
                "cannot kill a worker of an external Postgres".into(),
            ));
        }
        self.emulated.kill_net().await
    }

    /// Stops the emulated `net` worker until [`Self::start_net_worker`]. Requests wait.
    pub fn stop_net_worker(&self) {
        self.emulated.stop_net();
    }

    /// Starts the emulated `net` worker again.
    pub fn start_net_worker(&self) {
        self.emulated.start_net();
    }

    /// Stops the gateway as a crash would: the port is closed, and connections are cut.
    pub async fn stop_gateway(&self) {
        self.gateway.stop().await;
    }

    /// Starts the gateway again on the same port.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the port has been taken.
    pub async fn start_gateway(&self) -> Result<()> {
        self.gateway.restart().await
    }

    /// Shuts everything down in order.
    pub async fn stop(self) {
        self.emulated.stop_cron();
        self.emulated.stop_net();
        self.backend.functions.stop_all().await;
        self.gateway.stop().await;
        self.backend.close();
        if let Some(postgres) = &self.postgres {
            postgres.shut_down().await;
        }
        self.folder.remove().await;
    }
}
