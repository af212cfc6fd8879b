//! A stack responds like a hosted project.
#![allow(clippy::unwrap_used)]

mod faults;
mod functions;
mod migrations;
mod rpc;
mod start;

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use reqwest::{RequestBuilder, Response};
use serde_json::Value;
use supaqueue_local::{LogLine, Stack, StackBuilder};
use supaqueue_tests::{repository, run};
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use tokio::sync::broadcast::Receiver;
use tokio_postgres::Client;

/// The stack's tasks outlive each test.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());
static STACK: OnceCell<Arc<Stack>> = OnceCell::const_new();

/// Runs a test on a stack that all tests share.
fn on_stack<F: Future<Output = ()>>(test: impl FnOnce(Arc<Stack>) -> F) {
    RUNTIME.block_on(async {
        let start = async || {
            let stack = start(builder().env("ADDED", "by the builder")).await;
            run(&connect(&stack).await, rpc::FUNCTIONS).await;
            Arc::new(stack)
        };
        test(STACK.get_or_init(start).await.clone()).await;
    });
}

fn builder() -> StackBuilder {
    Stack::builder().functions(repository().join("tests/local/stack/functions"))
}

async fn start(builder: StackBuilder) -> Stack {
    builder.start().await.unwrap()
}

/// A connection to a stack's database as `postgres`.
async fn connect(stack: &Stack) -> Client {
    stack.database().connect().await.unwrap()
}

fn http() -> reqwest::Client {
    // Fails if another test has installed a provider already, which is fine too.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// The address of an edge function and, after its name, a path.
fn function_url(stack: &Stack, path: &str) -> String {
    format!("{}/functions/v1/{path}", stack.gateway_url())
}

/// A call of a database function.
fn rpc(stack: &Stack, function: &str) -> RequestBuilder {
    http().post(format!("{}/rest/v1/rpc/{function}", stack.gateway_url()))
}

async fn json(response: Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

/// Waits for a line in a function's log that contains `text`.
async fn line(logs: &mut Receiver<LogLine>, source: &str, text: &str) -> String {
    let found = async {
        loop {
            let line = logs.recv().await.unwrap();
            if line.source == source && line.text.contains(text) {
                break line.text;
            }
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(20), found).await;
    found.unwrap_or_else(|_| panic!("{source} did not log {text:?}"))
}

/// Polls `condition` for up to twenty seconds.
async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(Instant::now() < deadline, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
