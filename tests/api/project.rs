//! The project that all tests share, and supabase-js outside of it.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::LazyLock;

use serde_json::{Value, json};
use supaqueue_local::Stack;
use supaqueue_tests::{eventually, get, repository, run};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use tokio_postgres::Client;

/// What the function `metrics` lets in.
pub(crate) const METRICS_SECRET: &str = "scrape me";

/// The stack's tasks outlive each test.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// A stack with the tables, triggers and queues of the guide, and a connection as `postgres`.
pub(crate) struct Project {
    pub(crate) stack: &'static Stack,
    pub(crate) client: Client,
}

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller<'a> {
    /// Somebody with a key of the project.
    Key(&'a str),
    /// A user who has signed in.
    User,
}

/// Where supabase-js runs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Host {
    Node,
    PlatformDeno,
    NewestDeno,
}

impl Host {
    pub(crate) const ALL: [Self; 3] = [Self::Node, Self::PlatformDeno, Self::NewestDeno];
}

/// Runs a test on the shared project.
pub(crate) fn test(body: impl AsyncFnOnce(Project)) {
    RUNTIME.block_on(async {
        static STACK: OnceCell<Stack> = OnceCell::const_new();
        let stack = STACK.get_or_init(start).await;
        let client = stack.database().connect().await.unwrap();
        body(Project { stack, client }).await;
    });
}

async fn start() -> Stack {
    let package = folder().join("node_modules/@supabase/supabase-js");
    assert!(
        package.exists(),
        "supabase-js is not installed: run ./scripts/setup"
    );
    let folders = [
        folder().join("functions"),
        repository().join("tests/functions"),
    ];
    let builder = folders
        .into_iter()
        .fold(Stack::builder(), |builder, folder| {
            builder.functions(folder)
        });
    let builder = builder.env("METRICS_SECRET", METRICS_SECRET);
    let stack = builder.start().await.expect("the stack starts");
    let client = stack.database().connect().await.unwrap();
    let guide = std::fs::read_to_string(repository().join("docs/guide.md")).unwrap();
    let blocks = statements(&guide);
    let is_needed = |block: &&str| {
        ["insert into supaqueue.queue", "create function public."]
            .iter()
            .any(|text| block.contains(text))
    };
    for block in blocks.filter(is_needed) {
        run(&client, block).await;
    }
    stack
}

/// The SQL of a page.
fn statements(page: &str) -> impl Iterator<Item = &str> {
    page.split("```sql\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
}

/// The SQL of the operations page that has this in it.
pub(crate) fn operations(text: &str) -> String {
    let page = std::fs::read_to_string(repository().join("docs/operations.md")).unwrap();
    let block = statements(&page).find(|block| block.contains(text));
    block.expect("an example").to_owned()
}

fn folder() -> PathBuf {
    repository().join("tests/api")
}

impl Project {
    /// Runs a script of `tests/api` with this input; returns what it prints.
    pub(crate) async fn script(
        &self,
        host: Host,
        caller: Caller<'_>,
        arguments: &[&str],
        input: &str,
    ) -> Value {
        let keys = self.stack.keys();
        let (key, token) = match caller {
            Caller::Key(key) => (key, String::new()),
            Caller::User => {
                let claims = json!({"role": "authenticated", "sub": "1"});
                (keys.publishable(), keys.sign(&claims))
            }
        };
        let deno = |package: &str| {
            let mut deno = Command::new(
                repository()
                    .join("scripts/node_modules")
                    .join(package)
                    .join("deno"),
            );
            deno.args([
                "run",
                "--no-lock",
                "--no-prompt",
                "--allow-env",
                "--allow-read",
                "--allow-net=127.0.0.1",
            ]);
            deno
        };
        let mut command = match host {
            Host::Node => {
                let mut node = Command::new("node");
                // supabase-js needs it; the default since Node.js 22.
                node.arg("--experimental-websocket");
                node
            }
            Host::PlatformDeno => deno("deno-platform"),
            Host::NewestDeno => deno("deno"),
        };
        let mut script = command
            .args(arguments)
            .current_dir(folder())
            .env("SUPABASE_URL", self.stack.gateway_url())
            .env("SUPABASE_SECRET_KEY", key)
            .env("USER_TOKEN", token)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{host:?} does not start: {error}; run ./scripts/setup")
            });
        let mut stdin = script.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        let output = script.wait_with_output().await.unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{host:?} {arguments:?}: {stderr}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Makes one call with supabase-js; returns its `data`, `error` and `status`.
    pub(crate) async fn call(&self, host: Host, caller: Caller<'_>, call: Value) -> Value {
        let answers = self
            .script(
                host,
                caller,
                &["calls.js"],
                &Value::from(vec![call]).to_string(),
            )
            .await;
        answers[0].clone()
    }

    pub(crate) async fn get(&self, sql: &str) -> String {
        get(&self.client, sql).await
    }

    pub(crate) async fn run(&self, sql: &str) {
        run(&self.client, sql).await;
    }

    /// Waits until a query returns `want`.
    pub(crate) async fn eventually(&self, sql: &str, want: &str) {
        eventually(&self.client, sql, want).await;
    }
}
