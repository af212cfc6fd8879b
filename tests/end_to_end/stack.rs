//! The stack that all tests share, with the target functions of `tests/functions`.

use std::sync::LazyLock;
use std::time::Duration;

use supaqueue_local::{LogLine, Stack};
use supaqueue_tests::{assert_rows, get, repository, run};
use tokio::runtime::Runtime;
use tokio::sync::{OnceCell, broadcast};
use tokio_postgres::Client;

/// One runtime for all tests: the stack's tasks must not end with the test that started it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// The shared stack, and the test's own connection as `postgres`.
pub(crate) struct Project {
    pub(crate) stack: &'static Stack,
    pub(crate) client: Client,
}

/// Runs a test on the shared stack.
pub(crate) fn test(body: impl AsyncFnOnce(Project)) {
    RUNTIME.block_on(async {
        static STACK: OnceCell<Stack> = OnceCell::const_new();
        let stack = STACK.get_or_init(start).await;
        body(Project {
            stack,
            client: stack.database().connect().await.unwrap(),
        })
        .await;
    });
}

async fn start() -> Stack {
    let stack = start_stack().await;
    let client = stack.database().connect().await.unwrap();
    // The default of five seconds would only slow down the tests of retries.
    let schedule = "select cron.schedule('supaqueue_tick', '1 second', supaqueue.tick_command())";
    run(&client, schedule).await;
    stack
}

/// Starts a stack with the tests' target functions, as `supaqueue dev` does.
pub(crate) async fn start_stack() -> Stack {
    Stack::builder()
        .functions(repository().join("tests/functions"))
        // A test looks for a line of this level.
        .env("SUPAQUEUE_LOG_LEVEL", "debug")
        .start()
        .await
        .expect("the stack starts")
}

impl Project {
    /// Creates a queue for a function; `settings` are further columns and their values, as in an
    /// SQL update.
    pub(crate) async fn queue(&self, name: &str, function: &str, workers: u32, settings: &str) {
        let set = match settings {
            "" => String::new(),
            _ => format!("update supaqueue.queue set {settings} where name = '{name}';"),
        };
        let sql = format!(
            "insert into supaqueue.queue (name, edge_function_name) values ('{name}', '{function}');
             {set} select supaqueue.set_workers('{name}', {workers})"
        );
        run(&self.client, &sql).await;
    }

    /// Enqueues a job; returns its id.
    pub(crate) async fn enqueue(&self, queue: &str, payload: &str) -> String {
        let enqueue = format!("select supaqueue.enqueue('{queue}', '{payload}')");
        self.get(&enqueue).await
    }

    /// Enqueues a job for each of the payloads, an SQL array.
    pub(crate) async fn enqueue_many(&self, queue: &str, payloads: &str) {
        let enqueue = format!("select supaqueue.enqueue_many('{queue}', {payloads})");
        run(&self.client, &enqueue).await;
    }

    /// Waits until all jobs of a queue have finished; panics with the unfinished ones after 40 seconds.
    pub(crate) async fn finished(&self, queue: &str) {
        finished(&self.client, queue).await;
    }

    /// Waits until all jobs of a queue have finished; asserts these columns of them, oldest first.
    pub(crate) async fn finish_as(&self, queue: &str, columns: &str, want: &str) {
        self.finished(queue).await;
        let jobs = format!(
            "select {columns} from supaqueue.job where queue = supaqueue.queue_id('{queue}') order by position"
        );
        self.assert_rows(&jobs, want).await;
    }

    pub(crate) async fn assert_rows(&self, sql: &str, want: &str) {
        assert_rows(&self.client, sql, want).await;
    }

    pub(crate) async fn get(&self, sql: &str) -> String {
        get(&self.client, sql).await
    }
}

/// [`Project::finished`] on any connection.
pub(crate) async fn finished(client: &Client, queue: &str) {
    let jobs =
        format!("supaqueue.job j join supaqueue.queue q on q.id = j.queue and q.name = '{queue}'");
    let unfinished =
        format!("select count(*) from {jobs} where j.status in ('pending', 'in_progress')");
    let wait = async {
        while get(client, &unfinished).await != "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let outcome = tokio::time::timeout(Duration::from_secs(40), wait).await;
    if outcome.is_err() {
        let jobs = format!("select j.status, j.attempts, j.run_at, j.errors from {jobs}");
        let jobs = get(client, &jobs).await;
        let problems = get(client, "select * from supaqueue.problem").await;
        panic!("queue {queue} has unfinished jobs after 40 s:\n{jobs}\nproblems:\n{problems}");
    }
}

/// Returns the next `count` log lines of a function that `matches` accepts; panics after 20 seconds.
pub(crate) async fn lines(
    logs: &mut broadcast::Receiver<LogLine>,
    source: &str,
    count: usize,
    matches: impl Fn(&str) -> bool,
) -> Vec<String> {
    let mut found = Vec::new();
    let read = async {
        while found.len() < count {
            let line = logs.recv().await.expect("no line is lost");
            if line.source == source && matches(&line.text) {
                found.push(line.text);
            }
        }
    };
    let outcome = tokio::time::timeout(Duration::from_secs(20), read).await;
    assert!(
        outcome.is_ok(),
        "{source} wrote only {} of {count} matching lines: {found:?}",
        found.len()
    );
    found
}
