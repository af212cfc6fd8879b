//! The project's database, reached through the Management API or a direct connection.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use supaqueue_files::DatabaseState;

use super::postgres::Connection;
use super::private_temp_dir::PrivateTempDir;
use super::supabase_cli::SupabaseCli;

/// Runs SQL. Statements never contain secrets: the database generates its own, so that no statement
/// log can leak one.
pub(crate) enum Database {
    /// Through `supabase db query`, which needs no database password.
    Hosted { cli: SupabaseCli, reference: String },
    /// Through a connection.
    Direct(Connection),
}

impl Database {
    /// Runs statements as one transaction.
    pub(crate) async fn run(&self, sql: &str) -> Result<()> {
        self.result(sql).await.map(drop)
    }

    /// Runs statements as one transaction and deserializes the result: the last statement that
    /// returns rows must return one row with a `jsonb` column named `result`.
    pub(crate) async fn query<T: DeserializeOwned>(&self, sql: &str) -> Result<T> {
        let result = self.result(sql).await?.unwrap_or_default();
        serde_json::from_value(result).context("unexpected result from the database")
    }

    /// What is already installed.
    pub(crate) async fn state(&self) -> Result<DatabaseState> {
        self.query(DatabaseState::QUERY).await
    }

    /// The time limit of each statement.
    pub(crate) fn limit(&self) -> Duration {
        match self {
            Self::Hosted { cli, .. } => cli.limit,
            Self::Direct(connection) => connection.limit,
        }
    }

    async fn result(&self, sql: &str) -> Result<Option<Value>> {
        match self {
            Self::Direct(connection) => {
                let text = connection.run(sql).await?;
                Ok(text.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))))
            }
            Self::Hosted { cli, reference } => {
                let mut arguments = vec!["db".to_owned(), "query".to_owned()];
                if cli.version.major == 2 {
                    arguments.push("--linked".to_owned());
                }
                arguments.extend(cli.project_option(reference));
                let dir = PrivateTempDir::create()?;
                let rows = cli.json_in(dir.path(), &arguments, Some(sql)).await?;
                Ok(rows
                    .as_array()
                    .and_then(|rows| rows.last())
                    .and_then(|row| row.get("result"))
                    .cloned())
            }
        }
    }
}
