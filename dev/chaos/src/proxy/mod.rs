//! A proxy before the gateway that fails on demand.
//!
//! Database and supaqueue function are told its address in place of the project's. So it sees
//! dispatches, calls of the database's functions and calls of targets, and can lose, delay, repeat
//! or spoil each of them.

mod dispatch;
mod http;
mod rpc;
mod target;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::Result;
use crate::log::TargetLog;
use crate::random::Random;
pub use dispatch::DispatchFault;
use dispatch::Dispatches;
use http::{Answer, Client, Cut, Message};
pub use rpc::RpcFault;
pub use target::TargetFault;
use target::Targets;

/// What the proxy does to what passes through it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// To dispatches, from the database to the supaqueue function.
    pub dispatch: DispatchFault,
    /// To calls of the database, from the supaqueue function.
    pub rpc: RpcFault,
    /// To calls of targets.
    pub target: TargetFault,
}

/// The proxy. It ends when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    /// Binds a free port on 127.0.0.1 and serves it. What is for the gateway is cut off until
    /// [`Self::lead_to`].
    pub async fn start(seed: u64) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(seed));
        Ok(Self {
            address,
            serving: Mutex::new(Some(tokio::spawn(serve(listener, shared.clone())))),
            shared,
        })
    }

    /// The proxy's own address, such as `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Names the gateway. Only the first call counts.
    pub fn lead_to(&self, gateway: &str) {
        self.shared.gateway.get_or_init(|| gateway.to_owned());
    }

    /// What the targets saw.
    pub fn log(&self) -> &TargetLog {
        &self.shared.log
    }

    /// Changes what goes wrong.
    pub fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.shared.faults_mut());
    }

    /// How many messages have met a fault since this was last asked.
    pub fn take_met(&self) -> usize {
        self.shared.met.swap(0, Ordering::SeqCst)
    }

    /// How many messages it holds that it has still to deliver.
    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// Forgets the dispatches that it has recorded.
    pub fn forget_dispatches(&self) {
        self.shared.dispatches.forget();
    }

    /// Sends all recorded dispatches once more, as they came; the status of each answer.
    pub async fn replay(&self) -> Vec<u16> {
        let mut statuses = Vec::new();
        for message in self.shared.dispatches.recorded() {
            if let Ok(answer) = self.shared.forward(message).await {
                statuses.push(answer.status().as_u16());
            }
        }
        statuses
    }

    /// Ends it as a crash does: nothing listens, and what was under way is cut.
    pub async fn stop(&self) {
        let serving = self.serving().take();
        if let Some(serving) = serving {
            serving.abort();
            // Aborted is how it ends.
            let _ = serving.await;
        }
    }

    /// Serves again, on the same port.
    pub async fn resume(&self) -> Result<()> {
        self.stop().await;
        let listener = TcpListener::bind(self.address).await?;
        *self.serving() = Some(tokio::spawn(serve(listener, self.shared.clone())));
        Ok(())
    }

    fn serving(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(serving) = self.serving().take() {
            serving.abort();
        }
    }
}

/// What the proxy's connections share.
#[derive(Debug)]
struct Shared {
    gateway: OnceLock<String>,
    client: Client,
    log: Arc<TargetLog>,
    random: Random,
    thrown: AtomicU64,
    faults: Mutex<Faults>,
    dispatches: Dispatches,
    targets: Targets,
    held: AtomicUsize,
    met: AtomicUsize,
}

impl Shared {
    fn new(seed: u64) -> Self {
        Self {
            gateway: OnceLock::new(),
            client: http::client(),
            log: Arc::default(),
            random: Random::new(seed).part("proxy"),
            thrown: AtomicU64::new(0),
            faults: Mutex::default(),
            dispatches: Dispatches::default(),
            targets: Targets::default(),
            held: AtomicUsize::new(0),
            met: AtomicUsize::new(0),
        }
    }

    fn faults(&self) -> Faults {
        *self.faults_mut()
    }

    fn faults_mut(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether a message meets a fault.
    fn meet(&self, is_fault: bool) {
        self.met.fetch_add(is_fault.into(), Ordering::SeqCst);
    }

    /// A generator for one decision.
    fn dice(&self) -> Random {
        let number = self.thrown.fetch_add(1, Ordering::Relaxed);
        self.random.part(&number.to_string())
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Cut> {
        let message = Message::read(request).await?;
        let path = message.path();
        if let Some(kind) = path.strip_prefix("/functions/v1/chaos-") {
            let kind = kind.to_owned();
            self.call_target(&kind, &message.headers).await
        } else if path == "/functions/v1/supaqueue" {
            self.dispatch(message).await
        } else if path.starts_with("/rest/v1/rpc/") {
            self.rpc(message).await
        } else {
            self.forward(message).await
        }
    }

    async fn forward(&self, message: Message) -> Result<Answer, Cut> {
        let gateway = self.gateway.get().ok_or(Cut)?;
        message.send(&self.client, gateway).await
    }
}

/// Serves until aborted; then its connections are cut, as the set of their tasks is dropped.
async fn serve(listener: TcpListener, shared: Arc<Shared>) {
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
                let shared = shared.clone();
                connections.spawn(async move {
                    let service = service_fn(|request| shared.clone().answer(request));
                    // A call that was cut off ends its connection with an error: that is the point.
                    let _ = http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
