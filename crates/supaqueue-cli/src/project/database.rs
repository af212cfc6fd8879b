//! The project's database, reached through the Management API or directly.

use std::path::Path;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio_postgres::Client;

use super::cli::SupabaseCli;
use super::direct;
use super::temporary::TemporaryFolder;

/// Runs SQL. No secret is part of any statement: those that the database has to hold are made in
/// it, so that no log of statements can have one.
pub(crate) enum Database {
    /// `supabase db query`, which needs no database password.
    Hosted { cli: SupabaseCli, reference: String },
    /// A connection.
    Direct(Client),
}

impl Database {
    /// Runs statements as one transaction, without an answer.
    pub(crate) async fn run(&self, sql: &str) -> Result<()> {
        self.answer(sql).await.map(drop)
    }

    /// Runs statements as one transaction. The last of them that returns rows returns one with a
    /// column named `result`, of type jsonb; a null is one for an `Option`.
    pub(crate) async fn query<T: DeserializeOwned>(&self, sql: &str) -> Result<T> {
        let result = self.answer(sql).await?.unwrap_or_default();
        serde_json::from_value(result)
            .context("the database gave an answer that this program does not understand")
    }

    async fn answer(&self, sql: &str) -> Result<Option<Value>> {
        match self {
            Self::Direct(client) => {
                let text = direct::run(client, sql).await?;
                Ok(text.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))))
            }
            Self::Hosted { cli, reference } => {
                let folder = TemporaryFolder::create()?;
                query(cli, reference, folder.path(), sql).await
            }
        }
    }
}

async fn query(
    cli: &SupabaseCli,
    reference: &str,
    folder: &Path,
    sql: &str,
) -> Result<Option<Value>> {
    let mut arguments = vec!["db".to_owned(), "query".to_owned()];
    if cli.version.major == 2 {
        arguments.push("--linked".to_owned());
    }
    arguments.extend(cli.project_option(reference));
    let rows = cli.json(&arguments, folder, Some(sql)).await?;
    Ok(rows
        .as_array()
        .and_then(|rows| rows.last())
        .and_then(|row| row.get("result"))
        .cloned())
}

/// A text as a literal of SQL.
pub(crate) fn literal(text: &str) -> String {
    match text.contains('\\') {
        true => format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''")),
        false => format!("'{}'", text.replace('\'', "''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_cannot_be_left() {
        assert_eq!(literal("https://x.test"), "'https://x.test'");
        assert_eq!(literal("a'; drop table x; --"), "'a''; drop table x; --'");
        assert_eq!(literal(r"a\' b"), r"E'a\\'' b'");
    }
}
