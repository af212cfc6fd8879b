//! `POST /rest/v1/{table}`, emulating PostgREST: what `supabase.from(table).insert(rows)` sends.
//!
//! Not emulated: what `select` after `insert` asks for, `upsert`, and every other method.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::{HeaderMap, Method};
use deadpool_postgres::Object;
use postgres_protocol::escape::escape_identifier;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::api_error::ApiError;
use super::rpc_lookup::{CallStatement, SCHEMA};

/// Refuses what is not a plain insert.
pub(super) fn check(
    method: &Method,
    headers: &HeaderMap,
    query: Option<&str>,
) -> Result<(), ApiError> {
    let prefer = headers.get("prefer").and_then(|value| value.to_str().ok());
    let asks_for_more = prefer.is_some_and(|prefer| {
        prefer.contains("return=representation") || prefer.contains("resolution=")
    });
    let parameters = query.unwrap_or_default().split('&');
    let is_columns = |parameter: &str| parameter.is_empty() || parameter.starts_with("columns=");
    if method == Method::POST && !asks_for_more && parameters.clone().all(is_columns) {
        return Ok(());
    }
    let mut error = ApiError::new(
        501,
        "501",
        "Of tables, the local gateway emulates only inserts that return nothing",
    );
    error.hint = Some("Use a function of the database, or a hosted project".into());
    Err(error)
}

/// The statement that inserts the rows of a body, an object or an array of objects.
pub(super) async fn statement(
    connection: &Object,
    table: &str,
    body: &str,
) -> Result<CallStatement, ApiError> {
    let invalid = |message: &str| ApiError::new(400, "PGRST102", message);
    let is_array = body.trim_start().starts_with('[');
    let rows: Vec<BTreeMap<String, IgnoredAny>> = if is_array {
        serde_json::from_str(body)
    } else {
        serde_json::from_str(body).map(|row| vec![row])
    }
    .map_err(|_| invalid("Empty or invalid json"))?;
    let mut names = rows.iter().map(|row| row.keys().collect::<BTreeSet<_>>());
    let given = names.next().unwrap_or_default();
    if !names.all(|names| names == given) {
        return Err(invalid("All object keys must match"));
    }
    let columns = connection
        .query(
            "select a.attname::text from pg_catalog.pg_class c
             join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = $1
             join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
             where c.relname = $2 and c.relkind in ('r', 'p', 'v', 'f')",
            &[&SCHEMA, &table],
        )
        .await
        .map_err(|error| ApiError::from_postgres(&error, &Value::Null))?;
    if columns.is_empty() {
        let message = format!("Could not find the table '{SCHEMA}.{table}' in the schema cache");
        return Err(ApiError::new(404, "PGRST205", message));
    }
    let is_known = |name: &str| columns.iter().any(|row| row.get::<_, &str>(0) == name);
    if let Some(unknown) = given.iter().find(|name| !is_known(name)) {
        let message =
            format!("Could not find the '{unknown}' column of '{table}' in the schema cache");
        return Err(ApiError::new(400, "PGRST204", message));
    }
    let target = format!("{}.{}", escape_identifier(SCHEMA), escape_identifier(table));
    let given: Vec<_> = given.iter().map(|name| escape_identifier(name)).collect();
    let given = given.join(", ");
    let source = if is_array { "recordset" } else { "record" };
    Ok(CallStatement {
        sql: match (rows.is_empty(), given.is_empty()) {
            (true, _) => "select from (select $1::text) as body where false".into(),
            // A row of defaults.
            (false, true) => {
                format!("with body as (select $1::text) insert into {target} default values")
            }
            (false, false) => format!(
                "insert into {target} ({given})
                 select {given} from json_populate_{source}(null::{target}, $1::text::json)"
            ),
        },
        is_void: true,
    })
}
