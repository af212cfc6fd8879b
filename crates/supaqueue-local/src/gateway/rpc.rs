//! `POST /rest/v1/rpc/{function}`, as PostgREST answers it.
//!
//! Arguments and results pass as text, so that a number keeps its digits. What cannot be stood in
//! for: `safeupdate`, which on the platform refuses UPDATE and DELETE without WHERE.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use crate::postgres::{Database, quote_identifier};
use crate::{Error, Result};

/// The largest body of a request; a larger one gets 413.
const BODY_LIMIT: usize = 64 << 20;
/// The schemas that the API shows, on a new project.
const SCHEMA: &str = "public";

/// Calls functions of one database.
#[derive(Debug, Clone)]
pub(crate) struct Rpc {
    pool: Pool,
    plans: Arc<Mutex<HashMap<Call, Plan>>>,
}

/// What a function is looked up by: its name and the names of the arguments given.
type Call = (String, BTreeSet<String>);

/// How to call a function with these arguments.
#[derive(Debug, Clone)]
struct Plan {
    sql: String,
    is_void: bool,
}

impl Rpc {
    pub(crate) fn new(database: &Database, connections: usize) -> Result<Self> {
        let mut config: tokio_postgres::Config = database
            .authenticator_url()
            .parse()
            .map_err(Error::database("cannot read the database's address"))?;
        config.application_name("postgrest stand-in");
        config.options("-c search_path=public,extensions");
        let manager = Manager::from_config(
            config,
            NoTls,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(connections)
            .wait_timeout(Some(std::time::Duration::from_secs(10)))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| {
                Error::Invalid(format!("cannot make a pool of connections: {error}"))
            })?;
        Ok(Self {
            pool,
            plans: Arc::default(),
        })
    }

    /// Ends the connections.
    pub(crate) fn close(&self) {
        self.pool.close();
    }

    /// Answers one request; `claims` are those of its key.
    pub(crate) async fn answer(
        &self,
        function: &str,
        method: &Method,
        headers: &HeaderMap,
        claims: &Value,
        body: Body,
    ) -> Response {
        match self.call(function, method, headers, claims, body).await {
            Ok(Some(json)) => (
                [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
                json,
            )
                .into_response(),
            Ok(None) => StatusCode::NO_CONTENT.into_response(),
            Err(failure) => failure.into_response(),
        }
    }

    async fn call(
        &self,
        function: &str,
        method: &Method,
        headers: &HeaderMap,
        claims: &Value,
        body: Body,
    ) -> Result<Option<String>, Failure> {
        if method != Method::POST {
            return Err(Failure::new(
                405,
                "PGRST101",
                "Only POST is stood in for by the local gateway",
            ));
        }
        if let Some(profile) = headers
            .get("content-profile")
            .and_then(|value| value.to_str().ok())
            && profile != SCHEMA
        {
            let mut failure = Failure::new(406, "PGRST106", format!("Invalid schema: {profile}"));
            failure.hint = Some(format!("Only the following schemas are exposed: {SCHEMA}"));
            return Err(failure);
        }
        let body = to_bytes(body, BODY_LIMIT)
            .await
            .map_err(|_| Failure::new(413, "413", "Request Too Long"))?;
        let body = if body.is_empty() {
            "{}".into()
        } else {
            String::from_utf8_lossy(&body)
        };
        let names: BTreeSet<String> = serde_json::from_str::<HashMap<String, IgnoredAny>>(&body)
            .map_err(|_| Failure::new(400, "PGRST102", "Empty or invalid json"))?
            .into_keys()
            .collect();
        let call = (function.to_owned(), names);

        let mut tried = 0;
        loop {
            tried += 1;
            let connection = self.connection().await?;
            let plan = self.plan(&connection, &call).await?;
            match run(&connection, &plan, headers, claims, &body).await {
                // The function was replaced since we looked: look once more.
                Err(error) if is_stale(&error) && tried == 1 => {
                    self.plans
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .clear();
                    connection.statement_cache.clear();
                }
                Err(error) => return Err(Failure::from_postgres(&error, claims)),
                Ok(json) => return Ok(json.filter(|_| !plan.is_void)),
            }
        }
    }

    async fn connection(&self) -> Result<Object, Failure> {
        self.pool.get().await.map_err(|error| match error {
            deadpool_postgres::PoolError::Timeout(_) => Failure::new(
                504,
                "PGRST003",
                "Timed out acquiring connection from connection pool.",
            ),
            error => {
                let mut failure = Failure::new(
                    503,
                    "PGRST000",
                    "Database connection error. Retrying the connection.",
                );
                failure.details = Some(error.to_string().into());
                failure
            }
        })
    }

    async fn plan(&self, connection: &Object, call: &Call) -> Result<Plan, Failure> {
        if let Some(plan) = self
            .plans
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(call)
        {
            return Ok(plan.clone());
        }
        let plan = look_up(connection, call).await?;
        self.plans
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(call.clone(), plan.clone());
        Ok(plan)
    }
}

/// Finds the function that takes arguments of these names.
async fn look_up(connection: &Object, (function, names): &Call) -> Result<Plan, Failure> {
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
            format!("from {target}(($1::text)::{}) as result", types[0])
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
                "from {source}, lateral {target}({}) as result",
                arguments.join(", ")
            )
        };
        let result = match row.get(3) {
            true => "coalesce(json_agg(result), '[]')::text",
            false => "to_json(result)::text",
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

/// One call in one transaction, as the role of the request. The four messages are sent at once.
async fn run(
    connection: &Object,
    plan: &Plan,
    headers: &HeaderMap,
    claims: &Value,
    body: &str,
) -> Result<Option<String>, tokio_postgres::Error> {
    let become_role = connection
        .prepare_cached(
            "select set_config('role', $1, true), set_config('request.jwt.claims', $2, true),
               set_config('request.headers', $3, true), set_config('request.method', 'POST', true)",
        )
        .await?;
    let call = connection
        .prepare_typed_cached(&plan.sql, &[Type::TEXT])
        .await?;
    let headers: Value = headers
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect::<HashMap<_, _>>()
        .into_iter()
        .collect();
    let role = claims["role"].as_str().unwrap_or("anon");
    let (claims, headers) = (claims.to_string(), headers.to_string());

    let session: [&(dyn ToSql + Sync); 3] = [&role, &claims, &headers];
    let arguments: [&(dyn ToSql + Sync); 1] = [&body];
    let (began, became, rows, committed) = tokio::join!(
        connection.batch_execute("begin"),
        connection.query(&become_role, &session),
        connection.query(&call, &arguments),
        // After an error this rolls back.
        connection.batch_execute("commit"),
    );
    // The first that failed is the cause of the others.
    began?;
    became?;
    let rows = rows?;
    // Deferred constraints and triggers speak here.
    committed?;
    Ok(Some(match rows.first() {
        Some(row) => row
            .get::<_, Option<String>>(0)
            .unwrap_or_else(|| "null".into()),
        None => "null".into(),
    }))
}

fn is_stale(error: &tokio_postgres::Error) -> bool {
    // "cached plan must not change result type" is a feature that is not supported.
    error.code().is_some_and(|code| {
        *code == SqlState::UNDEFINED_FUNCTION || *code == SqlState::FEATURE_NOT_SUPPORTED
    })
}

/// An error in PostgREST's shape.
#[derive(Debug)]
pub(crate) struct Failure {
    status: u16,
    code: String,
    message: String,
    details: Option<Value>,
    hint: Option<String>,
}

impl Failure {
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.to_owned(),
            message: message.into(),
            details: None,
            hint: None,
        }
    }

    fn from_postgres(error: &tokio_postgres::Error, claims: &Value) -> Self {
        let Some(db) = error.as_db_error() else {
            let mut failure = Self::new(
                503,
                "PGRST001",
                "Database client error. Retrying the connection.",
            );
            failure.details = Some(crate::error::describe(error).into());
            return failure;
        };
        let is_anonymous = claims["role"].as_str().is_none_or(|role| role == "anon");
        let status = match status(db.code().code()) {
            403 if is_anonymous && *db.code() == SqlState::INSUFFICIENT_PRIVILEGE => 401,
            status => status,
        };
        Self {
            status,
            code: db.code().code().to_owned(),
            message: db.message().to_owned(),
            details: db.detail().map(Into::into),
            hint: db.hint().map(Into::into),
        }
    }
}

/// The HTTP status that PostgREST gives to an error of Postgres (its documentation, "Errors").
fn status(code: &str) -> u16 {
    match code {
        "23503" | "23505" => 409,
        "25006" => 405,
        "42883" | "42P01" => 404,
        "42P17" => 500,
        "42501" => 403,
        "P0001" => 400,
        "57P01" => 503,
        // `raise sqlstate 'PT402'` chooses the status.
        _ if code.starts_with("PT") => code[2..].parse().unwrap_or(500),
        _ => match code.get(..2).unwrap_or_default() {
            "08" | "53" => 503,
            "0L" | "0P" | "28" => 403,
            "09" | "25" | "2D" | "38" | "39" | "3B" | "40" | "54" | "55" | "57" | "58" | "F0"
            | "HV" | "P0" | "XX" => 500,
            _ => 400,
        },
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({
            "code": self.code,
            "message": self.message,
            "details": self.details,
            "hint": self.hint,
        });
        (
            status,
            [(header::CONTENT_TYPE, "application/json; charset=utf-8")],
            body.to_string(),
        )
            .into_response()
    }
}
