//! One port on 127.0.0.1 that responds like a project's API.

mod api_error;
mod edge_functions;
mod insert;
mod keys;
mod rpc;
mod rpc_lookup;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use api_error::ApiError;
use edge_functions::HttpClient;
pub use keys::Keys;
use rpc::Rpc;

use crate::functions::Functions;
use crate::{Error, Result, lock};

/// What the gateway forwards requests to.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(crate) keys: Keys,
    pub(crate) functions: Functions,
    rpc: Rpc,
    http: HttpClient,
    hop: Duration,
}

impl Backend {
    pub(crate) fn new(
        keys: Keys,
        functions: Functions,
        database: &crate::Database,
        connections: usize,
        hop: Duration,
    ) -> Result<Self> {
        Ok(Self {
            keys,
            functions,
            rpc: Rpc::new(database, connections)?,
            http: edge_functions::http_client(),
            hop,
        })
    }

    /// Waits for as long as a request travels.
    async fn travel(&self) {
        if !self.hop.is_zero() {
            tokio::time::sleep(self.hop).await;
        }
    }

    /// Closes the connections to the database.
    pub(crate) fn close(&self) {
        self.rpc.close();
    }
}

/// A port that is bound before the gateway starts, because the database and the functions need its
/// address.
#[derive(Debug)]
pub(crate) struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

impl Port {
    /// Binds `port`, or a free port for 0.
    pub(crate) async fn bind(port: u16) -> Result<Self> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let failed =
            |error: std::io::Error| Error::Invalid(format!("cannot listen on {address}: {error}"));
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// The gateway. It stops when this is dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    address: SocketAddr,
    backend: Arc<Backend>,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl Gateway {
    pub(crate) fn start(port: Port, backend: Arc<Backend>) -> Self {
        let gateway = Self {
            address: port.address,
            backend,
            serving: Mutex::default(),
        };
        gateway.serve(port);
        gateway
    }

    fn serve(&self, port: Port) {
        let service = TowerToHyperService::new(router(self.backend.clone()));
        let serving = tokio::spawn(crate::serve(port.listener, service));
        *lock(&self.serving) = Some(serving);
    }

    /// Stops it as a crash would: the port is closed, and connections are cut.
    pub(crate) async fn stop(&self) {
        let serving = lock(&self.serving).take();
        if let Some(serving) = serving {
            serving.abort();
            // Always an error: the task was aborted.
            let _ = serving.await;
        }
    }

    /// Listens on the same port again.
    pub(crate) async fn restart(&self) -> Result<()> {
        self.stop().await;
        self.serve(Port::bind(self.address.port()).await?);
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(serving) = lock(&self.serving).take() {
            serving.abort();
        }
    }
}

fn router(backend: Arc<Backend>) -> Router {
    Router::new()
        .route("/rest/v1/rpc/{function}", any(call_rpc))
        .route("/rest/v1/{table}", any(insert))
        .route("/functions/v1/{name}", any(call_function))
        .route("/functions/v1/{name}/", any(call_function))
        .route("/functions/v1/{name}/{*rest}", any(call_function))
        .fallback(async || {
            edge_functions::error_response(
                404,
                "404",
                "The local gateway serves /rest/v1/rpc/*, inserts into /rest/v1/* and /functions/v1/* only",
            )
        })
        .with_state(backend)
}

async fn call_rpc(
    State(backend): State<Arc<Backend>>,
    Path(function): Path<String>,
    request: Request,
) -> Response {
    backend.travel().await;
    let (parts, body) = request.into_parts();
    match backend.keys.claims_of(&parts.headers) {
        Ok(claims) => {
            backend
                .rpc
                .respond(&function, &parts.method, &parts.headers, &claims, body)
                .await
        }
        Err(refusal) => ApiError::new(401, refusal.code, refusal.message).into_response(),
    }
}

async fn insert(
    State(backend): State<Arc<Backend>>,
    Path(table): Path<String>,
    request: Request,
) -> Response {
    backend.travel().await;
    let (parts, body) = request.into_parts();
    let claims = match backend.keys.claims_of(&parts.headers) {
        Ok(claims) => claims,
        Err(refusal) => {
            return ApiError::new(401, refusal.code, refusal.message).into_response();
        }
    };
    let (method, query, headers) = (&parts.method, parts.uri.query(), &parts.headers);
    let rpc = &backend.rpc;
    match rpc
        .insert(&table, method, query, headers, &claims, body)
        .await
    {
        Ok(status) => status.into_response(),
        Err(error) => error.into_response(),
    }
}

async fn call_function(
    State(backend): State<Arc<Backend>>,
    Path(FunctionPath { name }): Path<FunctionPath>,
    request: Request,
) -> Response {
    backend.travel().await;
    edge_functions::respond(
        &backend.http,
        &backend.functions,
        &backend.keys,
        &name,
        request,
    )
    .await
}

/// The parameters of a function's route, with or without a rest.
#[derive(serde::Deserialize)]
struct FunctionPath {
    name: String,
}
