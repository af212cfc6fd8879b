//! Resolves an RPC call to a database function and the statement that calls it.

use std::collections::BTreeSet;

use deadpool_postgres::Object;
use postgres_protocol::escape::escape_identifier;
use serde_json::Value;
use tokio_postgres::Row;

use super::api_error::ApiError;

/// The schema that a new project's API exposes.
pub(super) const SCHEMA: &str = "public";

/// The key of a lookup: the function's name and the names of the given arguments.
pub(super) type Call = (String, BTreeSet<String>);

/// The statement that calls a function with these arguments.
#[derive(Debug, Clone)]
pub(super) struct CallStatement {
    pub(super) sql: String,
    pub(super) is_void: bool,
}

/// Finds the function that accepts arguments with these names.
pub(super) async fn look_up(
    connection: &Object,
    call @ (function, names): &Call,
) -> Result<CallStatement, ApiError> {
    let rows = connection
        .query(
            "select
               coalesce((
                 select array_agg(coalesce(name, '') order by place)
                 from unnest(p.proargnames, p.proargmodes) with ordinality as a (name, mode, place)
                 where mode is null or mode in ('i', 'b', 'v')
               ), '{}'),
               array(
                 select format_type(type, null)
                 from unnest(p.proargtypes) with ordinality as t (type, place) order by place
               ),
               p.pronargdefaults::int, p.proretset, p.prorettype = 'void'::regtype
             from pg_catalog.pg_proc p
             join pg_catalog.pg_namespace n on n.oid = p.pronamespace
             where n.nspname = $1 and p.proname = $2 and p.prokind = 'f'",
            &[&SCHEMA, function],
        )
        .await
        .map_err(|error| ApiError::from_postgres(&error, &Value::Null))?;

    let mut statements = rows.iter().filter_map(|row| {
        let argument_names: Vec<&str> = row.get(0);
        let types: Vec<&str> = row.get(1);
        let defaults = usize::try_from(row.get::<_, i32>(2)).unwrap_or(0);
        let target = format!(
            "{}.{}",
            escape_identifier(SCHEMA),
            escape_identifier(function)
        );
        let call = if argument_names.is_empty() && matches!(types[..], ["json" | "jsonb"]) {
            // A single unnamed parameter receives the whole body.
            format!("from {target}(($1::text)::{}) as gateway_answer", types[0])
        } else {
            let required = types.len() - defaults;
            let fits = argument_names.len() == types.len()
                && names
                    .iter()
                    .all(|name| argument_names.contains(&name.as_str()))
                && argument_names[..required]
                    .iter()
                    .all(|name| names.contains(*name));
            if !fits {
                return None;
            }
            let given = argument_names
                .iter()
                .zip(&types)
                .filter(|(name, _)| names.contains(**name));
            let (columns, arguments): (Vec<_>, Vec<_>) = given
                .map(|(name, kind)| {
                    let name = escape_identifier(name);
                    (format!("{name} {kind}"), format!("{name} => args.{name}"))
                })
                .unzip();
            let source = match columns.is_empty() {
                // Every form of the statement has the parameter.
                true => "(select $1::text) as args".to_owned(),
                false => format!(
                    "json_to_record($1::text::json) as args ({})",
                    columns.join(", ")
                ),
            };
            format!(
                "from {source}, lateral {target}({}) as gateway_answer",
                arguments.join(", ")
            )
        };
        let result = match row.get(3) {
            true => "coalesce(json_agg(gateway_answer), '[]')::text",
            false => "to_json(gateway_answer)::text",
        };
        Some(CallStatement {
            sql: format!("select {result} {call}"),
            is_void: row.get(4),
        })
    });
    let Some(statement) = statements.next() else {
        return Err(not_found(connection, call, &rows).await?);
    };
    if statements.next().is_some() {
        return Err(ApiError::new(
            300,
            "PGRST203",
            format!(
                "Could not choose the best candidate function between overloads of {SCHEMA}.{function}"
            ),
        ));
    }
    Ok(statement)
}

/// No function of that name takes these arguments. Names the most similar function, or arguments.
async fn not_found(
    connection: &Object,
    (function, names): &Call,
    of_that_name: &[Row],
) -> Result<ApiError, ApiError> {
    let similar = if of_that_name.is_empty() {
        let functions = connection
            .query(
                "select distinct p.proname::text from pg_catalog.pg_proc p
                 join pg_catalog.pg_namespace n on n.oid = p.pronamespace
                 where n.nspname = $1 and p.prokind = 'f'",
                &[&SCHEMA],
            )
            .await
            .map_err(|error| ApiError::from_postgres(&error, &Value::Null))?;
        most_similar(function, functions.iter().map(|row| row.get(0)))
    } else {
        let signatures = of_that_name.iter().map(|row| {
            let names: Vec<String> = row.get(0);
            format!("({})", list(&names.into_iter().collect()))
        });
        most_similar(&format!("({})", list(names)), signatures)
            .map(|names| format!("{function}{names}"))
    };
    let arguments = match names.len() {
        0 => "without parameters".to_owned(),
        number => format!(
            "with parameter{} {} or with a single unnamed json/jsonb parameter",
            if number > 1 { "s" } else { "" },
            list(names)
        ),
    };
    let message = format!(
        "Could not find the function {SCHEMA}.{function}({}) in the schema cache",
        list(names)
    );
    let mut error = ApiError::new(404, "PGRST202", message);
    error.details = Some(
        format!("Searched for the function {SCHEMA}.{function} {arguments}, but no matches were found in the schema cache.")
            .into(),
    );
    error.hint =
        similar.map(|similar| format!("Perhaps you meant to call the function {SCHEMA}.{similar}"));
    Ok(error)
}

/// PostgREST suggests nothing that is less similar than this.
const SIMILAR: f64 = 0.33;

fn most_similar(text: &str, candidates: impl Iterator<Item = String>) -> Option<String> {
    candidates
        .map(|candidate| (strsim::normalized_levenshtein(text, &candidate), candidate))
        .filter(|(similarity, _)| *similarity >= SIMILAR)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

fn list(names: &BTreeSet<String>) -> String {
    names
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}
