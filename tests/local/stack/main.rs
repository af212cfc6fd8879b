//! A stack responds like a hosted project.
#![allow(clippy::unwrap_used)]

mod faults;
mod functions;
mod rpc;
mod start;

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use supaqueue_local::{Stack, StackBuilder};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

/// The stack's tasks outlive each test.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static STACK: OnceCell<Arc<Stack>> = OnceCell::const_new();

/// Runs a test on a stack that all tests share.
fn on_stack<F: Future<Output = ()>>(test: impl FnOnce(Arc<Stack>) -> F) {
    RUNTIME.block_on(async {
        let start = async || {
            Arc::new(
                builder()
                    .env("ADDED", "by the builder")
                    .start()
                    .await
                    .unwrap(),
            )
        };
        test(STACK.get_or_init(start).await.clone()).await;
    });
}

fn builder() -> StackBuilder {
    Stack::builder().functions(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../tests/local/stack/functions"
    ))
}

fn http() -> reqwest::Client {
    // Fails if another test has installed a provider already, which is fine too.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Polls `condition` for up to twenty seconds.
async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(Instant::now() < deadline, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
