//! The database: reads in read-only transactions, and statements of actions.

use std::time::Duration;

use deadpool_postgres::{
    BuildError, Connect, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime,
};
use serde::de::DeserializeOwned;
use tokio_postgres::types::{Json, ToSql, Type};
use tokio_postgres::{Config, SimpleQueryMessage};

use crate::error::Error;

/// How long a statement may take; Postgres cancels it then.
const STATEMENT_LIMIT: Duration = Duration::from_secs(5);

/// How long to wait for a connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Connections at most: the screens are small, and a project has few to spare.
const CONNECTIONS: usize = 3;

/// A pool of connections, which reconnects by itself.
pub(crate) struct Database {
    pool: Pool,
}

impl Database {
    pub(crate) fn new(
        mut config: Config,
        connect: impl Connect + 'static,
        is_read_only: bool,
    ) -> Result<Self, BuildError> {
        let read_only = if is_read_only { "on" } else { "off" };
        config
            .application_name("supaqueue dashboard")
            .connect_timeout(CONNECT_LIMIT)
            .options(format!(
                "-c statement_timeout={} -c default_transaction_read_only={read_only} -c timezone=UTC",
                STATEMENT_LIMIT.as_millis()
            ));
        let manager = Manager::from_connect(
            config,
            connect,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS)
            .wait_timeout(Some(CONNECT_LIMIT))
            .create_timeout(Some(CONNECT_LIMIT))
            .runtime(Runtime::Tokio1)
            .build()?;
        Ok(Self { pool })
    }

    /// The only value of a query that returns one row with one column of type `jsonb`. Its parameters are
    /// text: `$1::uuid` reads one as something else. It runs in a read-only transaction, so that showing
    /// something changes nothing.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        sql: &str,
        parameters: &[Option<&str>],
    ) -> Result<T, Error> {
        let typed: Vec<(&(dyn ToSql + Sync), Type)> = parameters
            .iter()
            .map(|value| (value as &(dyn ToSql + Sync), Type::TEXT))
            .collect();
        let mut is_repeated = false;
        loop {
            let connection = self.connection().await?;
            // Sent at once; after an error, the commit rolls back.
            let (begin, rows, commit) = tokio::join!(
                connection.batch_execute("begin read only"),
                connection.query_typed(sql, &typed),
                connection.batch_execute("commit"),
            );
            match begin.and(rows) {
                // A connection that broke while it was idle.
                Err(error) if error.is_closed() && !is_repeated => is_repeated = true,
                Err(error) => return Err(error.into()),
                Ok(rows) => {
                    commit?;
                    let row = rows.first().ok_or_else(|| Error::answer("no row"))?;
                    let Json(value) = row.try_get(0).map_err(|error| {
                        // The column's content, or its type, is not what the page expects.
                        Error::answer(
                            &std::error::Error::source(&error)
                                .map_or_else(|| error.to_string(), ToString::to_string),
                        )
                    })?;
                    return Ok(value);
                }
            }
        }
    }

    /// Runs the statements of an action as one transaction. Returns the first column of the last row.
    pub(crate) async fn write(&self, sql: &str) -> Result<Option<String>, Error> {
        let connection = self.connection().await?;
        let messages = connection.simple_query(sql).await.map_err(|error| {
            let is_answer = error.as_db_error().is_some();
            match error.into() {
                Error::Unreachable(why) if !is_answer => Error::Unsettled(why),
                error => error,
            }
        })?;
        let last = messages.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        Ok(last
            .and_then(|row| row.try_get(0).ok().flatten())
            .map(str::to_owned))
    }

    async fn connection(&self) -> Result<Object, Error> {
        Ok(self.pool.get().await?)
    }
}
