//! The Postgres extensions that Supaqueue needs.

use anyhow::Result;
use supaqueue_files::DatabaseState;

use crate::project::database::Database;

/// Creates the missing extensions and returns their names.
pub(super) async fn create_missing(
    database: &Database,
    state: &DatabaseState,
) -> Result<Vec<&'static str>> {
    let extensions = [
        (
            state.has_vault,
            "supabase_vault",
            "create extension if not exists supabase_vault cascade",
        ),
        (
            state.has_net,
            "pg_net",
            "create extension if not exists pg_net with schema extensions",
        ),
        (
            state.has_cron,
            "pg_cron",
            "create extension if not exists pg_cron",
        ),
    ];
    let mut created = Vec::new();
    for (_, name, sql) in extensions.into_iter().filter(|(exists, ..)| !exists) {
        match database.run(sql).await {
            Ok(()) => created.push(name),
            // Optional: without it, only the tick does not run.
            Err(_) if name == "pg_cron" => {}
            Err(error) => {
                return Err(error.context(format!("cannot create the missing extension {name}")));
            }
        }
    }
    Ok(created)
}
