//! Emulates the extensions that Postgres lacks: their SQL objects, and the background workers that
//! send the requests of `net` and run the jobs of `cron`.
//!
//! `vault` is SQL only.

mod cron;
mod net;

use std::future::Future;
use std::sync::Mutex;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use crate::extension::{Extensions, Kind};
use crate::log::LogSink;
use crate::postgres::Database;
use crate::{Error, Result, lock};

/// The background workers of one database's emulated extensions. They end when this is dropped.
///
/// Each reconnects after Postgres restarts.
#[derive(Debug)]
pub struct EmulatedExtensions {
    database: Database,
    extensions: Extensions,
    logs: LogSink,
    net: BackgroundTask,
    cron: BackgroundTask,
}

impl EmulatedExtensions {
    /// Starts a worker for each extension that is not real in `database`.
    ///
    /// # Errors
    /// [`Error::Database`] if the extensions cannot be read.
    pub async fn start(database: &Database) -> Result<Self> {
        Self::start_with_log(database, LogSink::default()).await
    }

    pub(crate) async fn start_with_log(database: &Database, logs: LogSink) -> Result<Self> {
        let extensions = Extensions::of(&database.connect_as_admin().await?).await?;
        let emulated = Self {
            database: database.clone(),
            extensions,
            logs,
            net: BackgroundTask::default(),
            cron: BackgroundTask::default(),
        };
        emulated.start_net();
        emulated.start_cron();
        Ok(emulated)
    }

    /// The real extensions; the others are emulated.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Starts the `net` worker if `net` is emulated and the worker is not running.
    pub fn start_net(&self) {
        if self.extensions.real(Kind::Net).is_none() {
            self.net.start(net::run(
                self.database.clone(),
                ErrorLog::new("pg_net", &self.logs),
            ));
        }
    }

    /// Stops the emulated `net` worker. Queued requests wait; the next worker repeats those in
    /// flight.
    pub fn stop_net(&self) {
        self.net.stop();
    }

    /// Crashes the `net` worker, real or emulated, as `kill -9` would: Postgres recovers, which
    /// empties its unlogged tables. A real worker restarts by itself, an emulated one with
    /// [`Self::start_net`].
    ///
    /// # Errors
    /// [`Error::Database`] if the database is unreachable.
    pub async fn kill_net(&self) -> Result<()> {
        let doing = "cannot kill the net worker";
        let admin = self.database.connect_as_admin().await?;
        if self.extensions.real(Kind::Net).is_some() {
            let workers = admin
                .query(
                    "select pid from pg_stat_activity where backend_type ilike '%pg_net%'",
                    &[],
                )
                .await
                .map_err(Error::database(doing))?;
            for worker in workers {
                // It may be exiting already.
                let _ = kill(Pid::from_raw(worker.get(0)), Signal::SIGKILL);
            }
            return Ok(());
        }
        self.stop_net();
        // Waits for the locks of the worker's open transaction.
        admin
            .batch_execute("truncate net.http_request_queue, net._http_response")
            .await
            .map_err(Error::database(doing))
    }

    /// Starts the `cron` worker if `cron` is emulated and the worker is not running.
    pub fn start_cron(&self) {
        if self.extensions.real(Kind::Cron).is_none() {
            self.cron.start(cron::run(
                self.database.clone(),
                ErrorLog::new("pg_cron", &self.logs),
            ));
        }
    }

    /// Stops the emulated `cron` worker.
    pub fn stop_cron(&self) {
        self.cron.stop();
    }
}

/// A task that ends with its owner.
#[derive(Debug, Default)]
struct BackgroundTask(Mutex<Option<JoinHandle<()>>>);

impl BackgroundTask {
    fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut running = lock(&self.0);
        if running.as_ref().is_none_or(JoinHandle::is_finished) {
            *running = Some(tokio::spawn(task));
        }
    }

    fn stop(&self) {
        if let Some(task) = lock(&self.0).take() {
            task.abort();
        }
    }
}

impl Drop for BackgroundTask {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Logs errors, but not the same one repeatedly.
#[derive(Debug)]
struct ErrorLog {
    source: &'static str,
    logs: LogSink,
    last: String,
}

impl ErrorLog {
    fn new(source: &'static str, logs: &LogSink) -> Self {
        Self {
            source,
            logs: logs.clone(),
            last: String::new(),
        }
    }

    fn write(&mut self, error: String) {
        if error != self.last {
            self.logs.write(self.source, error.as_str());
            self.last = error;
        }
    }
}

/// Connects as the superuser with an application name for `pg_stat_activity`. Calls `on_notify` for
/// each notification.
async fn connect(
    database: &Database,
    application_name: &str,
    mut on_notify: impl FnMut() + Send + 'static,
) -> Result<Client, tokio_postgres::Error> {
    let mut config: tokio_postgres::Config = database.admin_url().parse()?;
    config.application_name(application_name);
    let (client, mut connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        while let Some(Ok(message)) =
            std::future::poll_fn(|context| connection.poll_message(context)).await
        {
            if matches!(message, tokio_postgres::AsyncMessage::Notification(_)) {
                on_notify();
            }
        }
    });
    Ok(client)
}
