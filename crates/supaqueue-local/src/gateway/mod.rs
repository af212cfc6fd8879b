//! One port on 127.0.0.1 that answers as a project's address does.

mod failure;
mod keys;
mod plan;
mod proxy;
mod rpc;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use failure::Failure;
pub use keys::Keys;
use proxy::Http;
use rpc::Rpc;

use crate::functions::Functions;
use crate::{Error, Result};

/// What the gateway passes requests on to.
#[derive(Debug)]
pub(crate) struct Behind {
    pub(crate) keys: Keys,
    pub(crate) functions: Functions,
    rpc: Rpc,
    http: Http,
}

impl Behind {
    pub(crate) fn new(
        keys: Keys,
        functions: Functions,
        database: &crate::Database,
        connections: usize,
    ) -> Result<Self> {
        Ok(Self {
            keys,
            functions,
            rpc: Rpc::new(database, connections)?,
            http: proxy::http(),
        })
    }

    pub(crate) fn close(&self) {
        self.rpc.close();
    }
}

/// A port that is bound before anything is behind it, so that its address can be told to others.
#[derive(Debug)]
pub(crate) struct Port {
    listener: TcpListener,
    address: SocketAddr,
}

impl Port {
    /// Binds `port`, or a free one for 0.
    pub(crate) async fn bind(port: u16) -> Result<Self> {
        let wanted = SocketAddr::from(([127, 0, 0, 1], port));
        let failed =
            |error: std::io::Error| Error::Invalid(format!("cannot listen on {wanted}: {error}"));
        let listener = TcpListener::bind(wanted).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// The gateway. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Gateway {
    address: SocketAddr,
    behind: Arc<Behind>,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl Gateway {
    pub(crate) fn start(port: Port, behind: Arc<Behind>) -> Self {
        let serving = tokio::spawn(serve(port.listener, router(behind.clone())));
        Self {
            address: port.address,
            behind,
            serving: Mutex::new(Some(serving)),
        }
    }

    /// Ends it as a crash does: nothing listens, and what was under way is cut.
    pub(crate) async fn stop(&self) {
        let serving = self
            .serving
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(serving) = serving {
            serving.abort();
            // Aborted is how it ends.
            let _ = serving.await;
        }
    }

    /// Listens again on the same port.
    pub(crate) async fn restart(&self) -> Result<()> {
        self.stop().await;
        let port = Port::bind(self.address.port()).await?;
        let serving = tokio::spawn(serve(port.listener, router(self.behind.clone())));
        *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = Some(serving);
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(serving) = self
            .serving
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
        {
            serving.abort();
        }
    }
}

fn router(behind: Arc<Behind>) -> Router {
    Router::new()
        .route("/rest/v1/rpc/{function}", any(call))
        .route("/functions/v1/{name}", any(pass))
        .route("/functions/v1/{name}/", any(pass))
        .route("/functions/v1/{name}/{*rest}", any(pass_rest))
        .fallback(async || {
            proxy::refuse(
                404,
                "404",
                "The local gateway serves /rest/v1/rpc/* and /functions/v1/* only",
            )
        })
        .with_state(behind)
}

async fn call(
    State(behind): State<Arc<Behind>>,
    Path(function): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    match behind.keys.claims_of(&parts.headers) {
        Ok(claims) => {
            behind
                .rpc
                .answer(&function, &parts.method, &parts.headers, &claims, body)
                .await
        }
        Err(refusal) => Failure::new(401, refusal.code, refusal.message).into_response(),
    }
}

async fn pass(
    State(behind): State<Arc<Behind>>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Response {
    proxy::answer(
        &behind.http,
        &behind.functions,
        &behind.keys,
        &name,
        request,
    )
    .await
}

async fn pass_rest(
    State(behind): State<Arc<Behind>>,
    Path((name, _)): Path<(String, String)>,
    request: Request<Body>,
) -> Response {
    proxy::answer(
        &behind.http,
        &behind.functions,
        &behind.keys,
        &name,
        request,
    )
    .await
}

/// Serves until aborted; then its connections are cut, as the set of their tasks is dropped.
async fn serve(listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // Out of file descriptors, or the peer has gone: the next may do better.
                let Ok((stream, _)) = accepted else {
                    tokio::task::yield_now().await;
                    continue;
                };
                // Only costs latency if it fails.
                let _ = stream.set_nodelay(true);
                let service = TowerToHyperService::new(router.clone());
                connections.spawn(async move {
                    let connection = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    // A peer that goes away is its own business.
                    let _ = connection.await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
