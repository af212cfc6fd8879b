//! Which function a call means, and the statement that calls it.

use std::collections::BTreeSet;

use deadpool_postgres::Object;
use serde_json::Value;

use super::failure::Failure;
use crate::postgres::quote_identifier;

/// The schema that the API shows, on a new project.
pub(super) const SCHEMA: &str = "public";

/// What a function is looked up by: its name and the names of the arguments given.
pub(super) type Call = (String, BTreeSet<String>);

/// How to call a function with these arguments.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) sql: String,
    pub(super) is_void: bool,
}

/// Finds the function that takes arguments of these names.
pub(super) async fn look_up(
    connection: &Object,
    (function, names): &Call,
) -> Result<Plan, Failure> {
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
        .map_err(|error| Failure::from_postgres(&error, &Value::Null))?;

    let mut plans = rows.iter().filter_map(|row| {
        let argument_names: Vec<&str> = row.get(0);
        let types: Vec<&str> = row.get(1);
        let defaults = usize::try_from(row.get::<_, i32>(2)).unwrap_or(0);
        let target = format!(
            "{}.{}",
            quote_identifier(SCHEMA),
            quote_identifier(function)
        );
        let call = if argument_names.is_empty() && matches!(types[..], ["json" | "jsonb"]) {
            // One parameter without a name takes the whole body.
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
                    let name = quote_identifier(name);
                    (format!("{name} {kind}"), format!("{name} => args.{name}"))
                })
                .unzip();
            let source = match columns.is_empty() {
                // The parameter is there in every form of the statement.
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
        Some(Plan {
            sql: format!("select {result} {call}"),
            is_void: row.get(4),
        })
    });
    let Some(plan) = plans.next() else {
        let arguments = match names.is_empty() {
            true => "without parameters".to_owned(),
            false => format!(
                "with parameter{} {}",
                if names.len() > 1 { "s" } else { "" },
                list(names)
            ),
        };
        let mut failure = Failure::new(
            404,
            "PGRST202",
            format!(
                "Could not find the function {SCHEMA}.{function}({}) in the schema cache",
                list(names)
            ),
        );
        failure.details = Some(
            format!("Searched for the function {SCHEMA}.{function} {arguments}, but no matches were found in the schema cache.")
                .into(),
        );
        return Err(failure);
    };
    if plans.next().is_some() {
        return Err(Failure::new(
            300,
            "PGRST203",
            format!(
                "Could not choose the best candidate function between overloads of {SCHEMA}.{function}"
            ),
        ));
    }
    Ok(plan)
}

fn list(names: &BTreeSet<String>) -> String {
    names
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}
