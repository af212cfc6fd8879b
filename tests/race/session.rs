//! Connections whose statements can be left waiting for a lock.

use std::sync::Arc;
use std::time::Duration;

use supaqueue_tests::{Db, get, process, run};
use tokio::task::JoinHandle;
use tokio_postgres::{Client, SimpleQueryMessage};

/// How long anything may take before the test gives up.
const DEADLINE: Duration = Duration::from_secs(20);

/// A connection as `postgres`.
pub(crate) struct Session {
    client: Arc<Client>,
    process: i32,
}

impl Session {
    pub(crate) async fn new(db: &Db) -> Self {
        let client = db.connect().await;
        let process = process(&client).await;
        Self {
            client: Arc::new(client),
            process,
        }
    }

    /// Runs statements that cannot fail.
    pub(crate) async fn run(&self, sql: &str) {
        run(&self.client, sql).await;
    }

    /// What a query gives, that cannot fail.
    pub(crate) async fn get(&self, sql: &str) -> String {
        get(&self.client, sql).await
    }

    /// What a query gives, as in [`supaqueue_tests::get`], or its SQLSTATE and message.
    pub(crate) async fn ask(&self, sql: &str) -> Result<String, String> {
        ask(&self.client, sql).await
    }

    /// Starts a statement, and does not wait for its end.
    pub(crate) fn start(&self, sql: &str) -> Started {
        let client = self.client.clone();
        let sql = sql.to_owned();
        Started {
            task: tokio::spawn(async move { ask(&client, &sql).await }),
            process: self.process,
        }
    }
}

/// A statement under way.
pub(crate) struct Started {
    task: JoinHandle<Result<String, String>>,
    process: i32,
}

impl Started {
    /// Waits until the statement has ended (false) or waits for a lock (true).
    pub(crate) async fn waits(&self, db: &Db) -> bool {
        self.comes_to(db, "cardinality(b.pids) > 0").await
    }

    /// Waits until the statement has ended (false) or waits for a session (true).
    pub(crate) async fn waits_for(&self, db: &Db, other: &Session) -> bool {
        self.comes_to(db, &format!("{} = any (b.pids)", other.process))
            .await
    }

    async fn comes_to(&self, db: &Db, condition: &str) -> bool {
        let blocked = format!(
            "select {condition} from pg_blocking_pids({}) as b (pids)",
            self.process
        );
        let waits = async {
            loop {
                if self.task.is_finished() {
                    return false;
                }
                if db.get(&blocked).await == "t" {
                    return true;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, waits)
            .await
            .expect("the statement ends or waits")
    }

    /// Its result; an error where it does not end.
    pub(crate) async fn end(self) -> Result<String, String> {
        let process = self.process;
        match tokio::time::timeout(DEADLINE, self.task).await {
            Ok(result) => result.unwrap(),
            Err(_) => Err(format!("the statement of process {process} does not end")),
        }
    }
}

/// What a query gives, or its SQLSTATE and message.
pub(crate) async fn ask(client: &Client, sql: &str) -> Result<String, String> {
    let messages = client
        .simple_query(sql)
        .await
        .map_err(|error| match error.as_db_error() {
            Some(error) => format!(
                "{} {error} {} {}",
                error.code().code(),
                error.detail().unwrap_or_default(),
                error.where_().unwrap_or_default()
            ),
            None => error.to_string(),
        })?;
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            let columns: Vec<_> = (0..row.len())
                .map(|column| row.get(column).unwrap_or("null"))
                .collect();
            Some(columns.join("|"))
        }
        _ => None,
    });
    Ok(rows.collect::<Vec<_>>().join("\n"))
}
