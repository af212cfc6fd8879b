//! The workers of the stand-ins: what sends the requests of `net` and runs the jobs of `cron`.
//!
//! `vault` needs none: it is SQL alone.

mod cron;
mod net;

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use crate::extension::{Extensions, Kind};
use crate::log::LogSink;
use crate::postgres::Database;
use crate::{Error, Result};

/// The workers for one database; they end when this is dropped.
///
/// Each survives a restart of Postgres: it connects again until it can.
#[derive(Debug)]
pub struct StandIns {
    database: Database,
    extensions: Extensions,
    logs: LogSink,
    net: Worker,
    cron: Worker,
}

impl StandIns {
    /// Starts the workers of those extensions that are not real in `database`.
    pub async fn start(database: &Database) -> Result<Self> {
        Self::start_with_log(database, LogSink::default()).await
    }

    pub(crate) async fn start_with_log(database: &Database, logs: LogSink) -> Result<Self> {
        let extensions = Extensions::of(&database.connect_as_admin().await?).await?;
        let stand_ins = Self {
            database: database.clone(),
            extensions,
            logs,
            net: Worker::default(),
            cron: Worker::default(),
        };
        stand_ins.start_net();
        stand_ins.start_cron();
        Ok(stand_ins)
    }

    /// Which extensions are real.
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Starts the worker of `net` if it does not run.
    pub fn start_net(&self) {
        if self.extensions.real(Kind::Net).is_none() {
            self.net.start(net::serve(
                self.database.clone(),
                Trouble::new("pg_net", &self.logs),
            ));
        }
    }

    /// Ends the worker of `net`. Requests wait in the queue; those under way are sent again by the
    /// next worker.
    pub fn stop_net(&self) {
        self.net.stop();
    }

    /// Ends the worker of `net`, real or not, as `kill -9` does: Postgres recovers, which empties
    /// its unlogged tables. The real one starts again by itself; a stand-in by [`Self::start_net`].
    pub async fn kill_net(&self) -> Result<()> {
        let failed = "cannot kill the worker of net";
        let admin = self.database.connect_as_admin().await?;
        if self.extensions.real(Kind::Net).is_some() {
            let workers = admin
                .query(
                    "select pid from pg_stat_activity where backend_type ilike '%pg_net%'",
                    &[],
                )
                .await
                .map_err(Error::database(failed))?;
            for worker in workers {
                // It may end at this very moment.
                let _ = kill(Pid::from_raw(worker.get(0)), Signal::SIGKILL);
            }
            return Ok(());
        }
        self.stop_net();
        // Waits until the worker's own transaction is gone.
        admin
            .batch_execute("truncate net.http_request_queue, net._http_response")
            .await
            .map_err(Error::database(failed))
    }

    /// Starts the worker of `cron` if it does not run.
    pub fn start_cron(&self) {
        if self.extensions.real(Kind::Cron).is_none() {
            self.cron.start(cron::serve(
                self.database.clone(),
                Trouble::new("pg_cron", &self.logs),
            ));
        }
    }

    /// Ends the worker of `cron`.
    pub fn stop_cron(&self) {
        self.cron.stop();
    }
}

/// A task that ends with its owner.
#[derive(Debug, Default)]
struct Worker(Mutex<Option<JoinHandle<()>>>);

impl Worker {
    fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.as_ref().is_none_or(JoinHandle::is_finished) {
            *running = Some(tokio::spawn(task));
        }
    }

    fn stop(&self) {
        if let Some(task) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Writes what goes wrong into the log, each thing once until another comes.
#[derive(Debug)]
struct Trouble {
    source: &'static str,
    logs: LogSink,
    last: String,
}

impl Trouble {
    fn new(source: &'static str, logs: &LogSink) -> Self {
        Self {
            source,
            logs: logs.clone(),
            last: String::new(),
        }
    }

    fn tell(&mut self, trouble: String) {
        if trouble != self.last {
            self.logs.write(self.source, trouble.as_str());
            self.last = trouble;
        }
    }
}

/// Connects as the superuser, under a name that `pg_stat_activity` shows; `on_notify` hears
/// notifications.
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
