//! A Management API on loopback, as far as the Supabase CLI needs it, that does what it is asked:
//! runs queries in a real Postgres, keeps the functions' secrets in their environment, and unpacks
//! uploaded functions where they are then run from.
//!
//! Shapes from the Management API's reference and from what the CLI 2.122 and 3.1 send and read.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

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

/// The only project.
pub(crate) const REF: &str = "abcdefghijklmnopqrst";

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Answers this, and does nothing.
    Status(u16),
    /// Never answers.
    Hang,
    /// Cuts the connection.
    Cut,
    /// Does what it is asked, and cuts the connection in place of the answer.
    Lost,
    /// Answers that all is well, and does nothing.
    Lie,
}

/// The calls that are to go wrong, by their method, the end of their path, and words of their body.
#[derive(Debug, Clone)]
pub(crate) struct Trap {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) words: &'static str,
    /// So many like it go well before.
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

/// What the platform holds.
pub(crate) struct Platform {
    database: Database,
    /// Where functions are run from; `config.toml` and `.env` as in a `supabase` folder.
    folder: PathBuf,
    functions: Mutex<BTreeMap<String, Function>>,
    secrets: Mutex<BTreeMap<String, String>>,
    versions: Mutex<u64>,
    trap: Mutex<Option<Trap>>,
    calls: Mutex<Vec<String>>,
    queries: Mutex<Vec<String>>,
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
            queries: Mutex::default(),
        };
        platform.write_settings();
        Arc::new(platform)
    }

    /// Serves it; the address.
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

    /// Sets a trap, or takes it away.
    pub(crate) fn set_trap(&self, trap: Option<Trap>) {
        *self.trap.lock().unwrap() = trap;
    }

    /// What goes wrong with a call.
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

    /// Has the platform hold nothing.
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

    /// The calls since they were taken last.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    /// All statements that were sent.
    pub(crate) fn queries(&self) -> Vec<String> {
        self.queries.lock().unwrap().clone()
    }

    /// Has a function that lies in its folder be callable without a JWT.
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

    /// The names of what there is: functions and secrets.
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

    /// Sets a secret, as somebody in the dashboard may.
    pub(crate) fn set_secret(&self, name: &str, value: Option<&str>) {
        let mut secrets = self.secrets.lock().unwrap();
        match value {
            Some(value) => secrets.insert(name.into(), value.into()),
            None => secrets.remove(name),
        };
        drop(secrets);
        self.write_settings();
    }

    /// Changes whether a function wants a JWT, as somebody in the dashboard may.
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

    /// What the functions are run with: the local stack reads it when it starts one, and starts it
    /// again when a file changes.
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

/// Checks the token, keeps a record, and springs the trap.
async fn guard(State(platform): State<Arc<Platform>>, request: Request, next: Next) -> Response {
    let path = request.uri().path().to_owned();
    let short = path
        .trim_start_matches("/v1/projects")
        .trim_start_matches(&format!("/{REF}"))
        .to_owned();
    platform
        .calls
        .lock()
        .unwrap()
        .push(format!("{} {short}", request.method()));
    let authorization = request
        .headers()
        .get("authorization")
        .and_then(|value| value.to_str().ok());
    if authorization != Some(&format!("Bearer {TOKEN}")) {
        return refusal(401, "Unauthorized");
    }
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let fault = platform.spring(&parts.method, &path, &String::from_utf8_lossy(&body));
    let method = parts.method.clone();
    let request = Request::from_parts(parts, body.into());
    match fault {
        None => next.run(request).await,
        Some(Fault::Status(status)) => refusal(status, "a fault of the test"),
        Some(Fault::Hang) => std::future::pending().await,
        // The server cuts a connection whose handler unwinds.
        Some(Fault::Cut) => std::panic::resume_unwind(Box::new("a cut connection")),
        Some(Fault::Lost) => {
            next.run(request).await;
            std::panic::resume_unwind(Box::new("a lost answer"))
        }
        Some(Fault::Lie) => match path.ends_with("/deploy") {
            true => (
                StatusCode::CREATED,
                Json(listed(
                    "supaqueue",
                    &Function {
                        version: 1,
                        verify_jwt: false,
                    },
                )),
            )
                .into_response(),
            false if method == Method::DELETE => Json(json!({})).into_response(),
            false => (StatusCode::CREATED, Json(json!({}))).into_response(),
        },
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

/// The platform shows digests, not values.
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

/// Unpacks the upload into an empty folder: the function has what was uploaded, and nothing else.
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
            .expect("every file lies beside the entrypoint");
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

/// Runs statements as role `postgres`, together in one transaction; answers with the rows of the
/// last that returned some.
async fn query(State(platform): State<Arc<Platform>>, Json(body): Json<Value>) -> Response {
    let statements = body["query"].as_str().unwrap();
    platform.queries.lock().unwrap().push(statements.to_owned());
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
                // Values come as text; what is JSON comes back as JSON, as the real one gives jsonb.
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
