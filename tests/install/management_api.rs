//! A Management API on loopback with the endpoints that the Supabase CLI needs. It runs queries in a
//! real Postgres, puts secrets into the environment of the functions, and unpacks uploaded functions
//! into the folder that they run from.
//!
//! The shapes are from the Management API's reference and from what the CLI 2.122 and 3.1 send and read.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Multipart, Path as Segments, Query, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use supaqueue_local::Database;
use tokio_postgres::SimpleQueryMessage;

use crate::program::TOKEN;
use crate::recording::{self, Body, CUT};

/// The only project.
pub(crate) const REF: &str = "abcdefghijklmnopqrst";

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Answers with this status and does nothing.
    Status(u16),
    /// Never answers, and does nothing.
    Hang,
    /// Closes the connection and does nothing.
    Cut,
    /// Carries out the call, and closes the connection instead of answering.
    Lost,
    /// Answers with success and does nothing.
    Lie,
    /// Carries out the call, and answers once the trap is gone.
    Stall,
}

/// The calls that go wrong, by their method, the end of their path, and words of their body.
#[derive(Debug, Clone)]
pub(crate) struct Trap {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) words: &'static str,
    /// How many like it succeed first.
    pub(crate) skip: usize,
    pub(crate) fault: Fault,
    /// Whether a call has gone wrong.
    pub(crate) is_sprung: bool,
}

/// A deployed function.
#[derive(Debug, Clone)]
struct Function {
    version: u64,
    verify_jwt: bool,
}

/// The platform, with what the project has there.
pub(crate) struct Platform {
    database: Database,
    /// The folder that functions run from, with `config.toml` and `.env` as in a `supabase` folder.
    folder: PathBuf,
    functions: Mutex<BTreeMap<String, Function>>,
    secrets: Mutex<BTreeMap<String, String>>,
    versions: Mutex<u64>,
    trap: Mutex<Option<Trap>>,
    calls: Mutex<Vec<String>>,
    requests: Mutex<Vec<recording::Request>>,
    /// The last answer: its status, or that the connection was cut, and its body.
    answer: Mutex<Option<(String, String)>>,
}

impl Platform {
    pub(crate) fn new(database: Database, folder: PathBuf) -> Arc<Self> {
        let platform = Self {
            database,
            folder,
            functions: Mutex::default(),
            secrets: Mutex::default(),
            versions: Mutex::default(),
            trap: Mutex::default(),
            calls: Mutex::default(),
            requests: Mutex::default(),
            answer: Mutex::default(),
        };
        platform.write_settings();
        Arc::new(platform)
    }

    /// Serves it. Returns the address.
    pub(crate) async fn serve(self: &Arc<Self>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let project = format!("/v1/projects/{REF}");
        let router = Router::new()
            .route("/v1/projects", get(projects))
            .route(&project, get(|| async { Json(the_project()) }))
            .route(&format!("{project}/config/database/pooler"), get(pooler))
            .route(&format!("{project}/api-keys"), get(api_keys))
            .route(
                &format!("{project}/secrets"),
                get(list_secrets).post(set_secrets).delete(unset_secrets),
            )
            .route(&format!("{project}/functions"), get(list_functions))
            .route(&format!("{project}/functions/deploy"), post(deploy))
            .route(
                &format!("{project}/functions/{{slug}}"),
                delete(delete_function),
            )
            .route(&format!("{project}/database/query"), post(query))
            .layer(middleware::from_fn_with_state(self.clone(), guard))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    /// Sets or removes the trap.
    pub(crate) fn set_trap(&self, trap: Option<Trap>) {
        *self.trap.lock().unwrap() = trap;
    }

    /// How a call goes wrong, if it does.
    fn spring(&self, method: &Method, path: &str, body: &str) -> Option<Fault> {
        let mut trap = self.trap.lock().unwrap();
        let trap = trap.as_mut().filter(|trap| {
            method == trap.method && path.ends_with(trap.path) && body.contains(trap.words)
        })?;
        match trap.skip.checked_sub(1) {
            Some(left) => {
                trap.skip = left;
                None
            }
            None => {
                trap.is_sprung = true;
                Some(trap.fault)
            }
        }
    }

    /// Whether a call has gone wrong since the trap was set.
    pub(crate) fn is_sprung(&self) -> bool {
        let trap = self.trap.lock().unwrap();
        trap.as_ref().is_some_and(|trap| trap.is_sprung)
    }

    /// Removes all functions and secrets.
    pub(crate) fn clear(&self) {
        for slug in std::mem::take(&mut *self.functions.lock().unwrap()).keys() {
            let _ = std::fs::remove_dir_all(self.function_folder(slug));
        }
        self.secrets.lock().unwrap().clear();
        self.write_settings();
    }

    /// The calls since the last time, as method and path below the project.
    pub(crate) fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    /// The requests since the last time.
    pub(crate) fn take_requests(&self) -> Vec<recording::Request> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    /// The answer to the last of these: its status, or that the connection was cut, and its body.
    pub(crate) fn take_answer(&self) -> Option<(String, String)> {
        self.answer.lock().unwrap().take()
    }

    /// All statements that were sent.
    pub(crate) fn queries(&self) -> Vec<String> {
        let requests = self.requests.lock().unwrap();
        let query = |request: &recording::Request| match &request.body {
            Body::Json(body) => Some(body.get("query")?.as_str()?.to_owned()),
            _ => None,
        };
        requests.iter().filter_map(query).collect()
    }

    /// Deploys the function whose files are in its folder, callable without a JWT.
    pub(crate) fn serve_without_jwt(&self, slug: &str) {
        self.functions.lock().unwrap().insert(
            slug.into(),
            Function {
                version: 1,
                verify_jwt: false,
            },
        );
        self.write_settings();
    }

    /// The names of functions and secrets.
    pub(crate) fn holdings(&self) -> Vec<String> {
        let functions = self
            .functions
            .lock()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>();
        functions
            .into_iter()
            .chain(self.secrets.lock().unwrap().keys().cloned())
            .collect()
    }

    /// The value of a secret.
    pub(crate) fn secret(&self, name: &str) -> Option<String> {
        self.secrets.lock().unwrap().get(name).cloned()
    }

    /// Sets or removes a secret, as a user can in the dashboard.
    pub(crate) fn set_secret(&self, name: &str, value: Option<&str>) {
        let mut secrets = self.secrets.lock().unwrap();
        match value {
            Some(value) => secrets.insert(name.into(), value.into()),
            None => secrets.remove(name),
        };
        drop(secrets);
        self.write_settings();
    }

    /// Changes whether a function requires a JWT, as a user can in the dashboard.
    pub(crate) fn set_verify_jwt(&self, slug: &str, verify_jwt: bool) {
        self.functions
            .lock()
            .unwrap()
            .get_mut(slug)
            .unwrap()
            .verify_jwt = verify_jwt;
        self.write_settings();
    }

    /// The folder of a function's files.
    pub(crate) fn function_folder(&self, slug: &str) -> PathBuf {
        self.folder.join("functions").join(slug)
    }

    /// Writes the functions' settings. The local stack reads them when it starts a function, which it
    /// restarts when a file changes.
    fn write_settings(&self) {
        let functions = self.functions.lock().unwrap();
        let config: String = functions
            .iter()
            .map(|(slug, function)| {
                format!("[functions.{slug}]\nverify_jwt = {}\n", function.verify_jwt)
            })
            .collect();
        let secrets = self.secrets.lock().unwrap();
        let env: String = secrets
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\"\n"))
            .collect();
        std::fs::create_dir_all(self.folder.join("functions")).unwrap();
        std::fs::write(self.folder.join("config.toml"), config).unwrap();
        std::fs::write(self.folder.join("functions/.env"), env).unwrap();
    }
}

/// Checks the token, logs request and answer, and springs the trap.
async fn guard(State(platform): State<Arc<Platform>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let path = parts.uri.path().to_owned();
    let short = path
        .trim_start_matches("/v1/projects")
        .trim_start_matches(&format!("/{REF}"));
    platform
        .calls
        .lock()
        .unwrap()
        .push(format!("{} {short}", parts.method));
    // The CLI looks up the project's name for stderr, when it has not done so before.
    let is_lookup = path == format!("/v1/projects/{REF}");
    if !is_lookup {
        let request = logged(&parts, &body);
        platform.requests.lock().unwrap().push(request);
        *platform.answer.lock().unwrap() = None;
    }

    let header = parts.headers.get("authorization");
    let is_known = header.is_some_and(|value| *value == format!("Bearer {TOKEN}"));
    let fault = match is_known {
        true => platform.spring(&parts.method, &path, &String::from_utf8_lossy(&body)),
        false => None,
    };
    let is_deletion = parts.method == Method::DELETE;
    let request = Request::from_parts(parts, body.into());
    let response = match fault {
        _ if !is_known => Some(refusal(401, "Unauthorized")),
        None => Some(next.run(request).await),
        Some(Fault::Status(status)) => Some(refusal(status, "a fault of the test")),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Cut) => None,
        Some(Fault::Lost) => {
            next.run(request).await;
            None
        }
        Some(Fault::Stall) => {
            let response = next.run(request).await;
            while platform.trap.lock().unwrap().is_some() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Some(response)
        }
        Some(Fault::Lie) if path.ends_with("/deploy") => {
            let function = Function {
                version: 1,
                verify_jwt: false,
            };
            Some((StatusCode::CREATED, Json(listed("supaqueue", &function))).into_response())
        }
        Some(Fault::Lie) if is_deletion => Some(Json(json!({})).into_response()),
        Some(Fault::Lie) => Some((StatusCode::CREATED, Json(json!({}))).into_response()),
    };
    let Some(response) = response else {
        *platform.answer.lock().unwrap() = Some((CUT.into(), String::new()));
        // The server closes a connection whose handler unwinds.
        std::panic::resume_unwind(Box::new("a cut connection"));
    };
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    if !is_lookup {
        *platform.answer.lock().unwrap() = Some((
            parts.status.as_str().into(),
            String::from_utf8_lossy(&body).into(),
        ));
    }
    Response::from_parts(parts, body.into())
}

/// A request, as the recording has it.
fn logged(parts: &axum::http::request::Parts, body: &[u8]) -> recording::Request {
    let text = String::from_utf8_lossy(body);
    let content_type = parts.headers.get("content-type");
    let content_type = content_type.map_or("", |value| value.to_str().unwrap());
    let body = match content_type.split_once("boundary=") {
        _ if body.is_empty() => Body::Empty,
        None => Body::Json(serde_json::from_str(&text).unwrap()),
        Some((_, boundary)) => {
            let end = format!("--{boundary}--");
            let start = format!("--{boundary}\r\n");
            let parts = text.trim_end().strip_suffix(&end).unwrap();
            let parts = parts.split(&start).skip(1).map(|part| {
                let (head, content) = part.split_once("\r\n\r\n").unwrap();
                json!([head, content.strip_suffix("\r\n").unwrap()])
            });
            Body::Form(parts.collect())
        }
    };
    recording::Request {
        method: parts.method.to_string(),
        path: parts.uri.to_string(),
        body,
    }
}

fn refusal(status: u16, message: &str) -> Response {
    (
        StatusCode::from_u16(status).unwrap(),
        Json(json!({ "message": message })),
    )
        .into_response()
}

fn the_project() -> Value {
    json!({
        "id": REF, "ref": REF, "organization_id": "org", "organization_slug": "org", "name": "My project",
        "region": "eu-west-1", "created_at": "2026-01-01T00:00:00Z", "status": "ACTIVE_HEALTHY",
        "database": { "host": format!("db.{REF}.supabase.test"), "version": "17.4", "postgres_engine": "17", "release_channel": "ga" }
    })
}

async fn projects() -> Json<Value> {
    Json(json!([the_project()]))
}

async fn pooler() -> Json<Value> {
    let address =
        format!("postgresql://postgres.{REF}:[YOUR-PASSWORD]@pooler.supabase.test:6543/postgres");
    Json(json!([{
        "identifier": REF, "database_type": "PRIMARY", "is_using_scram_auth": true, "db_user": format!("postgres.{REF}"),
        "db_host": "pooler.supabase.test", "db_port": 6543, "db_name": "postgres", "connection_string": address,
        "connectionString": address, "default_pool_size": 15, "max_client_conn": 200, "pool_mode": "transaction"
    }]))
}

async fn api_keys() -> Json<Value> {
    Json(json!([
        { "name": "anon", "api_key": "eyJanon", "type": "legacy", "id": "anon" },
        { "name": "service_role", "api_key": "eyJservice", "type": "legacy", "id": "service_role" },
        { "name": "default", "api_key": "sb_publishable_test", "type": "publishable", "id": "p" }
    ]))
}

/// The platform lists digests, not values.
async fn list_secrets(State(platform): State<Arc<Platform>>) -> Json<Value> {
    let digest = |value: &String| {
        Sha256::digest(value)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    let secrets = platform.secrets.lock().unwrap();
    let secrets = secrets
        .iter()
        .map(|(name, value)| json!({ "name": name, "value": digest(value) }));
    Json(secrets.collect())
}

async fn set_secrets(
    State(platform): State<Arc<Platform>>,
    Json(secrets): Json<Vec<BTreeMap<String, String>>>,
) -> impl IntoResponse {
    for secret in secrets {
        platform.set_secret(&secret["name"], Some(&secret["value"]));
    }
    (StatusCode::CREATED, Json(json!({})))
}

async fn unset_secrets(
    State(platform): State<Arc<Platform>>,
    Json(names): Json<Vec<String>>,
) -> Json<Value> {
    for name in names {
        platform.set_secret(&name, None);
    }
    Json(json!({}))
}

fn listed(slug: &str, function: &Function) -> Value {
    json!({
        "id": "11111111-1111-4111-8111-111111111111", "slug": slug, "name": slug, "status": "ACTIVE",
        "version": function.version, "created_at": 1_770_000_000_000_u64, "updated_at": 1_770_000_000_000_u64,
        "verify_jwt": function.verify_jwt, "import_map": false, "entrypoint_path": "index.ts"
    })
}

async fn list_functions(State(platform): State<Arc<Platform>>) -> Json<Value> {
    Json(
        platform
            .functions
            .lock()
            .unwrap()
            .iter()
            .map(|(slug, function)| listed(slug, function))
            .collect(),
    )
}

/// Unpacks the upload into an empty folder, so that the function has nothing else.
async fn deploy(
    State(platform): State<Arc<Platform>>,
    Query(query): Query<BTreeMap<String, String>>,
    mut upload: Multipart,
) -> Response {
    let slug = query["slug"].clone();
    let mut files = Vec::new();
    let mut metadata = Value::Null;
    while let Some(part) = upload.next_field().await.unwrap() {
        match part.name() {
            Some("metadata") => {
                metadata = serde_json::from_slice(&part.bytes().await.unwrap()).unwrap()
            }
            _ => files.push((
                part.file_name().unwrap().to_owned(),
                part.bytes().await.unwrap(),
            )),
        }
    }
    let entrypoint = metadata["entrypoint_path"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if !files.iter().any(|(name, _)| *name == entrypoint) {
        return refusal(400, "the entrypoint is not among the files");
    }
    let folder = platform.function_folder(&slug);
    let _ = std::fs::remove_dir_all(&folder);
    let root = Path::new(&entrypoint).parent().unwrap().to_owned();
    for (name, bytes) in files {
        let inside = Path::new(&name)
            .strip_prefix(&root)
            .expect("every file is beside the entrypoint");
        assert!(
            inside
                .components()
                .all(|part| matches!(part, Component::Normal(_))),
            "{name}"
        );
        let path = folder.join(inside);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let version = {
        let mut versions = platform.versions.lock().unwrap();
        *versions += 1;
        *versions
    };
    let function = Function {
        version,
        verify_jwt: metadata["verify_jwt"].as_bool().unwrap_or(true),
    };
    let answer = listed(&slug, &function);
    platform.functions.lock().unwrap().insert(slug, function);
    platform.write_settings();
    (StatusCode::CREATED, Json(answer)).into_response()
}

async fn delete_function(
    State(platform): State<Arc<Platform>>,
    Segments(slug): Segments<String>,
) -> Response {
    if platform.functions.lock().unwrap().remove(&slug).is_none() {
        return refusal(404, "Function not found");
    }
    let _ = std::fs::remove_dir_all(platform.function_folder(&slug));
    platform.write_settings();
    Json(json!({})).into_response()
}

/// Runs statements as role `postgres` in one transaction. Answers with the rows of the last statement
/// that returned any.
async fn query(State(platform): State<Arc<Platform>>, Json(body): Json<Value>) -> Response {
    let statements = body["query"].as_str().unwrap();
    let client = platform.database.connect().await.unwrap();
    let messages = match client.simple_query(statements).await {
        Ok(messages) => messages,
        Err(error) => {
            let db = error.as_db_error().expect("only the statement can fail");
            let hint = db
                .hint()
                .map(|hint| format!("\nHINT:  {hint}"))
                .unwrap_or_default();
            let message = format!(
                "Failed to run sql query: ERROR:  {}: {}{hint}",
                db.code().code(),
                db.message()
            );
            return refusal(400, &message);
        }
    };
    let mut rows: Vec<Value> = Vec::new();
    let mut is_new = true;
    for message in messages {
        match message {
            SimpleQueryMessage::Row(row) => {
                if std::mem::take(&mut is_new) {
                    rows.clear();
                }
                // Values are text here; the real API returns jsonb as JSON.
                let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| text.into());
                let cells = row.columns().iter().enumerate();
                rows.push(
                    cells
                        .map(|(at, column)| {
                            (
                                column.name().to_owned(),
                                row.get(at).map_or(Value::Null, value),
                            )
                        })
                        .collect(),
                );
            }
            _ => is_new = true,
        }
    }
    (StatusCode::CREATED, Json(Value::Array(rows))).into_response()
}
