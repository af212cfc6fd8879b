//! A proxy in front of the gateway that fails on demand.
//!
//! The database and the supaqueue function use its address as the project's. It therefore sees
//! dispatches, calls of the database API and calls of targets, and can lose, delay, repeat or corrupt
//! each of them.

mod dispatch;
mod http;
mod pulse;
mod rpc;
mod target;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use fastrand::Rng;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::log::TargetLog;
use crate::random::Seed;
use crate::{Result, lock};
pub use dispatch::DispatchFault;
use dispatch::Dispatches;
use http::{Answer, Client, Cut, Message};
pub use pulse::PulseFault;
pub use rpc::RpcFault;
use target::RateLimit;
pub use target::TargetFault;

/// The faults that the proxy applies to the traffic.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// Of dispatches, from the database to the supaqueue function.
    pub dispatch: DispatchFault,
    /// Of pulses, from the supaqueue function.
    pub pulse: PulseFault,
    /// Of all calls of the database API, from the supaqueue function: pulses and reports.
    pub rpc: RpcFault,
    /// Of calls of targets.
    pub target: TargetFault,
}

/// The proxy. It stops when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: Mutex<Option<JoinHandle<()>>>,
}

impl Proxy {
    /// Serves a free port on 127.0.0.1. Requests for the gateway are cut off until
    /// [`Self::set_gateway`] is called.
    ///
    /// # Errors
    ///
    /// If no port can be bound.
    pub async fn start(seed: Seed) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(seed));
        Ok(Self {
            address,
            serving: Mutex::new(Some(serve(listener, shared.clone()))),
            shared,
        })
    }

    /// The proxy's base URL, such as `http://127.0.0.1:40123`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the URL of the gateway. Only the first call has an effect.
    pub fn set_gateway(&self, gateway: &str) {
        self.shared.gateway.get_or_init(|| gateway.to_owned());
    }

    /// The targets' log.
    pub fn log(&self) -> &TargetLog {
        &self.shared.log
    }

    /// Sets the faults.
    pub fn set(&self, faults: Faults) {
        *lock(&self.shared.faults) = faults;
    }

    /// The number of messages that hit a fault since the last call.
    pub fn take_hits(&self) -> usize {
        self.shared.hits.swap(0, Ordering::SeqCst)
    }

    /// The number of messages that are held back for later delivery.
    pub fn held(&self) -> usize {
        self.shared.held.load(Ordering::SeqCst)
    }

    /// Forgets the recorded dispatches.
    pub fn forget_dispatches(&self) {
        self.shared.dispatches.forget();
    }

    /// Sends all recorded dispatches again, unchanged. Returns the status of each answer.
    pub async fn replay(&self) -> Vec<u16> {
        let mut statuses = Vec::new();
        for message in self.shared.dispatches.recorded() {
            if let Ok(answer) = self.shared.forward(message).await {
                statuses.push(answer.status().as_u16());
            }
        }
        statuses
    }

    /// Stops like a crash: the port is closed, and every connection is cut.
    pub async fn stop(&self) {
        let serving = lock(&self.serving).take();
        if let Some(serving) = serving {
            serving.abort();
            // The only result is that the task was aborted.
            let _ = serving.await;
        }
    }

    /// Serves the same port again.
    ///
    /// # Errors
    ///
    /// If the port is no longer free.
    pub async fn resume(&self) -> Result<()> {
        self.stop().await;
        let listener = TcpListener::bind(self.address).await?;
        *lock(&self.serving) = Some(serve(listener, self.shared.clone()));
        Ok(())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(serving) = lock(&self.serving).take() {
            serving.abort();
        }
    }
}

/// The state shared by all connections.
#[derive(Debug)]
struct Shared {
    gateway: OnceLock<String>,
    client: Client,
    log: Arc<TargetLog>,
    seed: Seed,
    decisions: AtomicU64,
    faults: Mutex<Faults>,
    dispatches: Dispatches,
    rate_limit: RateLimit,
    held: AtomicUsize,
    hits: AtomicUsize,
}

impl Shared {
    fn new(seed: Seed) -> Self {
        Self {
            gateway: OnceLock::new(),
            client: http::client(),
            log: Arc::default(),
            seed,
            decisions: AtomicU64::new(0),
            faults: Mutex::default(),
            dispatches: Dispatches::default(),
            rate_limit: RateLimit::default(),
            held: AtomicUsize::new(0),
            hits: AtomicUsize::new(0),
        }
    }

    fn faults(&self) -> Faults {
        *lock(&self.faults)
    }

    /// Counts a message that hits a fault.
    fn count_hit(&self, is_fault: bool) {
        self.hits.fetch_add(is_fault.into(), Ordering::SeqCst);
    }

    /// A generator for the decisions about one message.
    fn rng(&self) -> Rng {
        let number = self.decisions.fetch_add(1, Ordering::Relaxed);
        self.seed.rng(&format!("message {number}"))
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Cut> {
        let message = Message::read(request).await?;
        let path = message.path();
        if let Some(kind) = path.strip_prefix("/functions/v1/chaos-") {
            let kind = kind.to_owned();
            self.call_target(&kind, &message.headers).await
        } else if path == "/functions/v1/supaqueue" {
            self.dispatch(message).await
        } else if path == "/rest/v1/rpc/supaqueue_pulse" {
            self.pulse(message).await
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

fn serve(listener: TcpListener, shared: Arc<Shared>) -> JoinHandle<()> {
    let service = service_fn(move |request| shared.clone().answer(request));
    tokio::spawn(supaqueue_local::serve(listener, service))
}
