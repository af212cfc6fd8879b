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
use serde_json::Value;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};

use super::failure::Failure;
use super::plan::{Call, Plan, SCHEMA, look_up};
use crate::postgres::Database;
use crate::{Error, Result};

/// The largest body of a request; a larger one gets 413.
const BODY_LIMIT: usize = 64 << 20;

/// Calls functions of one database.
#[derive(Debug, Clone)]
pub(crate) struct Rpc {
    pool: Pool,
    plans: Arc<Mutex<HashMap<Call, Plan>>>,
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
