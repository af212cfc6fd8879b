//! A Management API on loopback with the endpoints that the Supabase CLI needs. It runs queries in a
//! real Postgres, puts secrets into the environment of the functions, and unpacks uploaded functions
//! into the folder that they run from.
//!
//! The shapes are from the Management API's reference and from what the CLI 2.122 and 3.1 send and read.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Multipart, Path as Segments, Query, Request, State};
use axum::http::request::Parts;
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

/// Which calls go wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pattern {
    pub(crate) method: &'static str,
    /// The end of the path.
    pub(crate) path: &'static str,
    /// Words of the body.
    words: &'static str,
    /// How many like it succeed first.
    pub(crate) skip: usize,
}

impl Pattern {
    pub(crate) const fn new(method: &'static str, path: &'static str) -> Self {
        Self {
            method,
            path,
            words: "",
            skip: 0,
        }
    }

    /// A statement with these words.
    pub(crate) const fn query(words: &'static str) -> Self {
        let query = Self::new("POST", "/database/query");
        Self { words, ..query }
    }

    /// All but the first of these calls.
    pub(crate) const fn after(self, skip: usize) -> Self {
        Self { skip, ..self }
    }
}

/// The platform.
pub(crate) struct Platform {
    database: Database,
    /// The folder that functions run from, with `config.toml` and `.env` as in a `supabase` folder.
    folder: PathBuf,
    state: Mutex<Content>,
}

/// What the project has at the platform, and what the platform saw.
#[derive(Default)]
struct Content {
    /// As they are listed.
    functions: BTreeMap<String, Value>,
    secrets: BTreeMap<String, String>,
    /// Whether the project is a preview branch, which the platform neither lists nor shows among the projects.
    is_branch: bool,
    are_legacy_keys_off: bool,
    deployments: u64,
    trap: Option<(Pattern, Fault)>,
    /// Whether a call has gone wrong since the trap was set.
    is_sprung: bool,
    calls: Vec<String>,
    requests: Vec<recording::Request>,
    /// The last answer: its status, or that the connection was cut, and its body.
    answer: Option<(String, String)>,
}

impl Platform {
    pub(crate) fn new(database: Database, folder: PathBuf) -> Arc<Self> {
        let state = Mutex::default();
        let platform = Self {
            database,
            folder,
            state,
        };
        platform.change(|_| ());
        Arc::new(platform)
    }

    /// Serves it. Returns the address.
    pub(crate) async fn serve(self: &Arc<Self>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let secrets = get(list_secrets).post(set_secrets).delete(unset_secrets);
        let project = Router::new()
            .route("/", get(show_project))
            .route("/config/database/pooler", get(pooler))
            .route("/api-keys", get(api_keys))
            .route("/secrets", secrets)
            .route("/functions", get(list_functions))
            .route("/functions/deploy", post(deploy))
            .route("/functions/{slug}", delete(delete_function))
            .route("/database/query", post(query));
        let router = Router::new()
            .route("/v1/projects", get(list_projects))
            .nest(&format!("/v1/projects/{REF}"), project)
            .layer(middleware::from_fn_with_state(self.clone(), guard))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    /// Makes the project a preview branch.
    pub(crate) fn make_branch(&self) {
        self.state().is_branch = true;
    }

    fn state(&self) -> MutexGuard<'_, Content> {
        self.state.lock().unwrap()
    }

    /// Makes the calls go wrong that are like this one.
    pub(crate) fn set_trap(&self, pattern: Pattern, fault: Fault) {
        let mut state = self.state();
        state.trap = Some((pattern, fault));
        state.is_sprung = false;
    }

    pub(crate) fn remove_trap(&self) {
        self.state().trap = None;
    }

    /// How a call goes wrong, if it does.
    fn spring(&self, method: &Method, path: &str, body: &str) -> Option<Fault> {
        let mut state = self.state();
        let (trap, fault) = state.trap.as_mut()?;
        if method != trap.method || !path.ends_with(trap.path) || !body.contains(trap.words) {
            return None;
        }
        if let Some(left) = trap.skip.checked_sub(1) {
            trap.skip = left;
            return None;
        }
        let fault = *fault;
        state.is_sprung = true;
        Some(fault)
    }

    /// Whether a call has gone wrong since the trap was set.
    pub(crate) fn is_sprung(&self) -> bool {
        self.state().is_sprung
    }

    /// Removes all functions and secrets.
    pub(crate) fn clear(&self) {
        self.change(|state| {
            for slug in std::mem::take(&mut state.functions).keys() {
                let _ = std::fs::remove_dir_all(self.function_folder(slug));
            }
            state.secrets.clear();
        });
    }

    /// The calls since the last time, as method and path below the project.
    pub(crate) fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.state().calls)
    }

    /// The requests since the last time.
    pub(crate) fn take_requests(&self) -> Vec<recording::Request> {
        std::mem::take(&mut self.state().requests)
    }

    /// The answer to the last of these: its status, or that the connection was cut, and its body.
    pub(crate) fn take_answer(&self) -> Option<(String, String)> {
        self.state().answer.take()
    }

    /// All statements that were sent.
    pub(crate) fn queries(&self) -> Vec<String> {
        let query = |request: &recording::Request| match &request.body {
            Body::Json(body) => Some(body.get("query")?.as_str()?.to_owned()),
            _ => None,
        };
        self.state().requests.iter().filter_map(query).collect()
    }

    /// Deploys our function, as a user can by hand.
    pub(crate) fn deploy_supaqueue(&self) {
        write_function(&self.function_folder("supaqueue"));
        self.serve_supaqueue();
    }

    /// Serves our function, whose files are in its folder, callable without a JWT.
    pub(crate) fn serve_supaqueue(&self) {
        let function = listed("supaqueue", 1, false);
        self.change(|state| state.functions.insert("supaqueue".into(), function));
    }

    /// The names of functions and secrets.
    pub(crate) fn holdings(&self) -> Vec<String> {
        let state = self.state();
        let names = state.functions.keys().chain(state.secrets.keys());
        names.cloned().collect()
    }

    /// The value of a secret.
    pub(crate) fn secret(&self, name: &str) -> Option<String> {
        self.state().secrets.get(name).cloned()
    }

    /// Sets or removes a secret, as a user can in the dashboard.
    pub(crate) fn set_secret(&self, name: &str, value: Option<&str>) {
        self.change(|state| match value {
            Some(value) => state.secrets.insert(name.into(), value.into()),
            None => state.secrets.remove(name),
        });
    }

    /// Leaves the project only keys that are no JWTs.
    pub(crate) fn turn_off_legacy_keys(&self) {
        self.state().are_legacy_keys_off = true;
    }

    /// Changes whether a function, also one that was not listed before, requires a JWT, as a user can in the dashboard.
    pub(crate) fn set_verify_jwt(&self, slug: &str, verify_jwt: bool) {
        self.change(|state| {
            let function = state.functions.entry(slug.into());
            function.or_insert_with(|| listed(slug, 1, true))["verify_jwt"] = verify_jwt.into();
        });
    }

    /// The folder of a function's files.
    pub(crate) fn function_folder(&self, slug: &str) -> PathBuf {
        self.folder.join("functions").join(slug)
    }

    /// Changes the content and writes the functions' settings. The local stack reads them when it
    /// starts a function, which it restarts when a file changes.
    fn change<T>(&self, change: impl FnOnce(&mut Content) -> T) -> T {
        let mut state = self.state();
        let changed = change(&mut state);
        let (mut config, mut env) = (String::new(), String::new());
        for (slug, function) in &state.functions {
            let verify_jwt = &function["verify_jwt"];
            config += &format!("[functions.{slug}]\nverify_jwt = {verify_jwt}\n");
        }
        for (name, value) in &state.secrets {
            env += &format!("{name}=\"{value}\"\n");
        }
        std::fs::create_dir_all(self.folder.join("functions")).unwrap();
        std::fs::write(self.folder.join("config.toml"), config).unwrap();
        std::fs::write(self.folder.join("functions/.env"), env).unwrap();
        changed
    }
}

/// Writes the files of our function into a folder.
pub(crate) fn write_function(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    for (name, bytes) in supaqueue_files::function_files() {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
}

/// Checks the token, logs request and answer, and springs the trap.
async fn guard(State(platform): State<Arc<Platform>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let path = parts.uri.path().to_owned();
    let project = format!("/v1/projects/{REF}");
    let short = path.strip_prefix(&project).unwrap_or_default();
    let call = format!("{} {short}", parts.method);
    platform.state().calls.push(call);
    // The CLI looks up the project's name for stderr, when it has not done so before.
    let is_lookup = path == project;
    let log = |answer| {
        if !is_lookup {
            platform.state().answer = answer;
        }
    };
    if !is_lookup {
        platform.state().requests.push(logged(&parts, &body));
    }
    log(None);

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
            while platform.state().trap.is_some() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Some(response)
        }
        Some(Fault::Lie) if path.ends_with("/deploy") => {
            Some(answer(201, listed("supaqueue", 1, false)))
        }
        Some(Fault::Lie) => Some(answer(if is_deletion { 200 } else { 201 }, json!({}))),
    };
    let Some(response) = response else {
        log(Some((CUT.into(), String::new())));
        // The server closes a connection whose handler unwinds.
        std::panic::resume_unwind(Box::new("a cut connection"));
    };
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let text = String::from_utf8_lossy(&body);
    log(Some((parts.status.as_str().into(), text.into())));
    Response::from_parts(parts, body.into())
}

/// A request, as the recording has it.
fn logged(parts: &Parts, body: &[u8]) -> recording::Request {
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
                (head.into(), content.strip_suffix("\r\n").unwrap().into())
            });
            Body::Form(parts.collect())
        }
    };
    let (method, path) = (parts.method.to_string(), parts.uri.to_string());
    recording::Request { method, path, body }
}

fn answer(status: u16, body: Value) -> Response {
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

fn refusal(status: u16, message: &str) -> Response {
    answer(status, json!({ "message": message }))
}

fn the_project() -> Value {
    json!({
        "id": REF, "ref": REF, "organization_id": "org", "organization_slug": "org", "name": "My project",
        "region": "eu-west-1", "created_at": "2026-01-01T00:00:00Z", "status": "ACTIVE_HEALTHY",
        "database": { "host": format!("db.{REF}.supabase.test"), "version": "17.4", "postgres_engine": "17", "release_channel": "ga" }
    })
}

async fn show_project(State(platform): State<Arc<Platform>>) -> Response {
    match platform.state().is_branch {
        true => refusal(404, "Project not found"),
        false => answer(200, the_project()),
    }
}

async fn list_projects(State(platform): State<Arc<Platform>>) -> Json<Value> {
    let mut project = the_project();
    if platform.state().is_branch {
        project["id"] = "parentparentparentpa".into();
        project["ref"] = project["id"].clone();
    }
    Json(json!([project]))
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

async fn api_keys(State(platform): State<Arc<Platform>>) -> Json<Value> {
    let legacy = [
        json!({ "name": "anon", "api_key": "eyJanon", "type": "legacy", "id": "anon" }),
        json!({ "name": "service_role", "api_key": "eyJservice", "type": "legacy", "id": "service_role" }),
    ];
    let new = json!({ "name": "default", "api_key": "sb_publishable_test", "type": "publishable", "id": "p" });
    let has_legacy = !platform.state().are_legacy_keys_off;
    let keys = legacy.into_iter().filter(|_| has_legacy);
    Json(keys.chain([new]).collect())
}

/// The platform lists digests, not values.
async fn list_secrets(State(platform): State<Arc<Platform>>) -> Json<Value> {
    let secrets = &platform.state().secrets;
    let listed = secrets.iter().map(|(name, value)| {
        let digest = Sha256::digest(value);
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({ "name": name, "value": digest })
    });
    Json(listed.collect())
}

async fn set_secrets(
    State(platform): State<Arc<Platform>>,
    Json(secrets): Json<Vec<BTreeMap<String, String>>>,
) -> Response {
    for secret in secrets {
        platform.set_secret(&secret["name"], Some(&secret["value"]));
    }
    answer(201, json!({}))
}

async fn unset_secrets(
    State(platform): State<Arc<Platform>>,
    Json(names): Json<Vec<String>>,
) -> Response {
    for name in names {
        platform.set_secret(&name, None);
    }
    answer(200, json!({}))
}

fn listed(slug: &str, version: u64, verify_jwt: bool) -> Value {
    json!({
        "id": "11111111-1111-4111-8111-111111111111", "slug": slug, "name": slug, "status": "ACTIVE",
        "version": version, "created_at": 1_770_000_000_000_u64, "updated_at": 1_770_000_000_000_u64,
        "verify_jwt": verify_jwt, "import_map": false, "entrypoint_path": "index.ts"
    })
}

async fn list_functions(State(platform): State<Arc<Platform>>) -> Json<Value> {
    Json(platform.state().functions.values().cloned().collect())
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
        let is_metadata = part.name() == Some("metadata");
        let name = part.file_name().map(str::to_owned);
        let bytes = part.bytes().await.unwrap();
        match is_metadata {
            true => metadata = serde_json::from_slice(&bytes).unwrap(),
            false => files.push((name.unwrap(), bytes)),
        }
    }
    let entrypoint = metadata["entrypoint_path"].as_str().unwrap_or_default();
    if !files.iter().any(|(name, _)| name == entrypoint) {
        return refusal(400, "the entrypoint is not among the files");
    }
    let folder = platform.function_folder(&slug);
    let _ = std::fs::remove_dir_all(&folder);
    let root = Path::new(entrypoint).parent().unwrap();
    for (name, bytes) in files {
        let inside = Path::new(&name).strip_prefix(root);
        let inside = inside.expect("every file is beside the entrypoint");
        let is_normal = |part| matches!(part, Component::Normal(_));
        assert!(inside.components().all(is_normal), "{name}");
        let path = folder.join(inside);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    let verify_jwt = metadata["verify_jwt"].as_bool().unwrap_or(true);
    platform.change(|state| {
        state.deployments += 1;
        let function = listed(&slug, state.deployments, verify_jwt);
        state.functions.insert(slug, function.clone());
        answer(201, function)
    })
}

async fn delete_function(
    State(platform): State<Arc<Platform>>,
    Segments(slug): Segments<String>,
) -> Response {
    let removed = platform.change(|state| state.functions.remove(&slug));
    if removed.is_none() {
        return refusal(404, "Function not found");
    }
    let _ = std::fs::remove_dir_all(platform.function_folder(&slug));
    answer(200, json!({}))
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
            let hint = db.hint().map(|hint| format!("\nHINT:  {hint}"));
            let hint = hint.unwrap_or_default();
            let (code, message) = (db.code().code(), db.message());
            let error = format!("Failed to run sql query: ERROR:  {code}: {message}{hint}");
            return refusal(400, &error);
        }
    };
    // Values are text here; the real API returns jsonb as JSON.
    let value = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| text.into());
    let mut rows: Vec<Value> = Vec::new();
    let mut is_new = true;
    for message in messages {
        let SimpleQueryMessage::Row(row) = message else {
            is_new = true;
            continue;
        };
        if std::mem::take(&mut is_new) {
            rows.clear();
        }
        let cells = row.columns().iter().enumerate().map(|(at, column)| {
            let cell = row.get(at).map_or(Value::Null, value);
            (column.name().to_owned(), cell)
        });
        rows.push(cells.collect());
    }
    answer(201, Value::Array(rows))
}
