//! A stack answers as a project does.
#![allow(clippy::unwrap_used)]

mod broken;
mod faults;
mod functions;
mod rpc;

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use supaqueue_local::{Stack, StackBuilder};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;

/// The stack's tasks outlive each test.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static STACK: OnceCell<Arc<Stack>> = OnceCell::const_new();

/// Runs a test on the stack that all of them share.
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
    // What another test has chosen is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Waits until `is_so`, for twenty seconds.
async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
