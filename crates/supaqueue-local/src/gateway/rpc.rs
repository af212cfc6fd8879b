//! `POST /rest/v1/rpc/{function}` and `POST /rest/v1/{table}`, emulating PostgREST.
//!
//! Arguments and results are passed as text so that numbers keep their digits. Not emulated:
//! `safeupdate`, which on the platform rejects UPDATE and DELETE without WHERE.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use serde::de::IgnoredAny;
use serde_json::Value;
use tokio::sync::OnceCell;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use super::api_error::ApiError;
use super::insert;
use super::rpc_lookup::{Call, CallStatement, SCHEMA, look_up};
use crate::postgres::Database;
use crate::{Error, Result, lock};

/// A larger request body gets a 413.
const BODY_LIMIT: usize = 64 << 20;

/// Calls functions of a database.
#[derive(Debug, Clone)]
pub(crate) struct Rpc {
    pool: Pool,
    /// By role, the statement that begins its session.
    sessions: Arc<OnceCell<HashMap<String, String>>>,
    statements: Arc<Mutex<HashMap<Call, CallStatement>>>,
}

impl Rpc {
    pub(crate) fn new(database: &Database, connections: usize) -> Result<Self> {
        let mut config: tokio_postgres::Config = database
            .authenticator_url()
            .parse()
            .map_err(Error::database("cannot parse the database address"))?;
        config.application_name("postgrest (emulated)");
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
            .map_err(|error| Error::Invalid(format!("cannot create a connection pool: {error}")))?;
        Ok(Self {
            pool,
            sessions: Arc::default(),
            statements: Arc::default(),
        })
    }

    /// Closes the connections.
    pub(crate) fn close(&self) {
        self.pool.close();
    }

    /// Handles one request that authenticated with `claims`.
    pub(crate) async fn respond(
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
            Err(error) => error.into_response(),
        }
    }

    async fn call(
        &self,
        function: &str,
        method: &Method,
        headers: &HeaderMap,
        claims: &Value,
        body: Body,
    ) -> Result<Option<String>, ApiError> {
        if method != Method::POST {
            return Err(ApiError::new(
                405,
                "PGRST101",
                "The local gateway only emulates POST",
            ));
        }
        check_profile(method, headers)?;
        let mut body = read(body).await?;
        if body.is_empty() {
            body = "{}".into();
        }
        let names: BTreeSet<String> = serde_json::from_str::<HashMap<String, IgnoredAny>>(&body)
            .map_err(|_| ApiError::new(400, "PGRST102", "Empty or invalid json"))?
            .into_keys()
            .collect();
        let call = (function.to_owned(), names);

        let mut attempts = 0;
        loop {
            attempts += 1;
            let connection = self.connection().await?;
            let statement = self.statement(&connection, &call).await?;
            let session = self.session(&connection, claims).await?;
            match run(&connection, &session, &statement, headers, claims, &body).await {
                // The function was replaced since the lookup: repeat it once.
                Err(error) if is_stale(&error) && attempts == 1 => {
                    lock(&self.statements).clear();
                    connection.statement_cache.clear();
                }
                Err(error) => return Err(ApiError::from_postgres(&error, claims)),
                Ok(json) => return Ok(json.filter(|_| !statement.is_void)),
            }
        }
    }

    /// Handles an insert into a table by a request that authenticated with `claims`.
    pub(crate) async fn insert(
        &self,
        table: &str,
        method: &Method,
        query: Option<&str>,
        headers: &HeaderMap,
        claims: &Value,
        body: Body,
    ) -> Result<StatusCode, ApiError> {
        check_profile(method, headers)?;
        insert::check(method, headers, query)?;
        let body = read(body).await?;
        let connection = self.connection().await?;
        let statement = insert::statement(&connection, table, &body).await?;
        let session = self.session(&connection, claims).await?;
        run(&connection, &session, &statement, headers, claims, &body)
            .await
            .map_err(|error| ApiError::from_postgres(&error, claims))?;
        Ok(StatusCode::CREATED)
    }

    async fn connection(&self) -> Result<Object, ApiError> {
        self.pool.get().await.map_err(|error| match error {
            deadpool_postgres::PoolError::Timeout(_) => ApiError::new(
                504,
                "PGRST003",
                "Timed out acquiring connection from connection pool.",
            ),
            error => {
                let mut api_error = ApiError::new(
                    503,
                    "PGRST000",
                    "Database connection error. Retrying the connection.",
                );
                api_error.details = Some(error.to_string().into());
                api_error
            }
        })
    }

    /// The statement that assumes a role, with the settings of that role: Postgres itself applies
    /// only those of the role that connects.
    async fn session(&self, connection: &Object, claims: &Value) -> Result<String, ApiError> {
        const SESSION: &str = "select set_config('role', $1, true),
            set_config('request.jwt.claims', $2, true),
            set_config('request.headers', $3, true), set_config('request.method', 'POST', true)";
        let load = async || {
            let rows = connection
                .query(
                    "select r.rolname::text, string_agg(format(', set_config(%L, %L, true)',
                       split_part(c, '=', 1), substr(c, strpos(c, '=') + 1)), '')
                     from pg_catalog.pg_db_role_setting s
                     join pg_catalog.pg_roles r on r.oid = s.setrole and r.rolname <> current_user
                     cross join unnest(s.setconfig) as c
                     where s.setdatabase = 0 and pg_has_role(r.oid, 'member')
                     group by 1",
                    &[],
                )
                .await
                .map_err(|error| ApiError::from_postgres(&error, &Value::Null))?;
            let sessions = rows.iter().map(|row| {
                let settings: &str = row.get(1);
                (row.get(0), format!("{SESSION}{settings}"))
            });
            Ok(sessions.collect())
        };
        let sessions = self.sessions.get_or_try_init(load).await?;
        Ok(sessions
            .get(role_of(claims))
            .map_or(SESSION, String::as_str)
            .into())
    }

    async fn statement(&self, connection: &Object, call: &Call) -> Result<CallStatement, ApiError> {
        if let Some(statement) = lock(&self.statements).get(call) {
            return Ok(statement.clone());
        }
        let statement = look_up(connection, call).await?;
        lock(&self.statements).insert(call.clone(), statement.clone());
        Ok(statement)
    }
}

async fn read(body: Body) -> Result<String, ApiError> {
    let body = to_bytes(body, BODY_LIMIT)
        .await
        .map_err(|_| ApiError::new(413, "413", "Request Too Long"))?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn role_of(claims: &Value) -> &str {
    claims["role"].as_str().unwrap_or("anon")
}

/// Refuses a schema that the API does not expose.
fn check_profile(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    let header = match *method {
        Method::GET | Method::HEAD => "accept-profile",
        _ => "content-profile",
    };
    let profile = headers.get(header).and_then(|value| value.to_str().ok());
    match profile {
        Some(profile) if profile != SCHEMA => {
            let mut error = ApiError::new(406, "PGRST106", format!("Invalid schema: {profile}"));
            error.hint = Some(format!("Only the following schemas are exposed: {SCHEMA}"));
            Err(error)
        }
        _ => Ok(()),
    }
}

/// Runs one call in one transaction as the role of the request, with its four messages pipelined.
async fn run(
    connection: &Object,
    session: &str,
    statement: &CallStatement,
    headers: &HeaderMap,
    claims: &Value,
    body: &str,
) -> Result<Option<String>, tokio_postgres::Error> {
    let set_session = connection.prepare_cached(session).await?;
    let call = connection
        .prepare_typed_cached(&statement.sql, &[Type::TEXT])
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
    let role = role_of(claims);
    let (claims, headers) = (claims.to_string(), headers.to_string());

    let session: [&(dyn ToSql + Sync); 3] = [&role, &claims, &headers];
    let arguments: [&(dyn ToSql + Sync); 1] = [&body];
    let (begin, session_set, rows, commit) = tokio::join!(
        connection.batch_execute("begin"),
        connection.query(&set_session, &session),
        connection.query(&call, &arguments),
        // After an error this rolls back.
        connection.batch_execute("commit"),
    );
    // The first failure causes the later ones.
    begin?;
    session_set?;
    let rows = rows?;
    // Deferred constraints and triggers fail here.
    commit?;
    Ok(Some(match rows.first() {
        Some(row) if !statement.is_void => row
            .get::<_, Option<String>>(0)
            .unwrap_or_else(|| "null".into()),
        _ => "null".into(),
    }))
}

fn is_stale(error: &tokio_postgres::Error) -> bool {
    // "cached plan must not change result type" has code FEATURE_NOT_SUPPORTED.
    error.code().is_some_and(|code| {
        *code == SqlState::UNDEFINED_FUNCTION || *code == SqlState::FEATURE_NOT_SUPPORTED
    })
}
