//! Connections whose statements may block, to force an interleaving of transactions.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::{Db, get, run, try_get};

/// How long a statement may take before the test gives up.
const DEADLINE: Duration = Duration::from_secs(20);

/// A connection as `postgres`.
pub struct Session {
    client: Arc<Client>,
    pid: i32,
}

impl Session {
    /// Opens a connection to a test's database.
    pub async fn new(db: &Db) -> Self {
        let client = db.connect().await;
        let pid = get(&client, "select pg_backend_pid()")
            .await
            .parse()
            .unwrap();
        Self {
            client: Arc::new(client),
            pid,
        }
    }

    /// See [`run`].
    pub async fn run(&self, sql: &str) {
        run(&self.client, sql).await;
    }

    /// See [`get`].
    pub async fn get(&self, sql: &str) -> String {
        get(&self.client, sql).await
    }

    /// See [`try_get`].
    pub async fn try_get(&self, sql: &str) -> Result<String, String> {
        try_get(&self.client, sql).await
    }

    /// Starts a statement without waiting for its end.
    #[must_use]
    pub fn start(&self, sql: &str) -> Started {
        let client = self.client.clone();
        let sql = sql.to_owned();
        Started {
            task: tokio::spawn(async move { try_get(&client, &sql).await }),
            pid: self.pid,
        }
    }
}

/// A statement in progress.
pub struct Started {
    task: JoinHandle<Result<String, String>>,
    pid: i32,
}

impl Started {
    /// Waits until the statement has either finished (false) or blocked on another connection of its database (true).
    ///
    /// Others can block it for a moment: autovacuum, and commits in the databases of other tests, since the stand-in
    /// for pg_net uses `NOTIFY`, whose commits are in one order for the whole server.
    pub async fn blocks(&self, db: &Db) -> bool {
        let condition = "exists (
            select from pg_stat_activity a
            where a.pid = any (b.pids) and a.backend_type = 'client backend' and a.datname = current_database()
        )";
        self.reaches(db, condition).await
    }

    /// Waits until the statement has either finished (false) or blocked on `other` (true).
    pub async fn blocks_on(&self, db: &Db, other: &Session) -> bool {
        self.reaches(db, &format!("{} = any (b.pids)", other.pid))
            .await
    }

    async fn reaches(&self, db: &Db, condition: &str) -> bool {
        let blocked = format!(
            "select {condition} from pg_blocking_pids({}) as b (pids)",
            self.pid
        );
        let poll = async {
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
        tokio::time::timeout(DEADLINE, poll)
            .await
            .expect("the statement finishes or blocks")
    }

    /// The statement's result; an error if it fails or does not finish in time.
    pub async fn finish(self) -> Result<String, String> {
        let pid = self.pid;
        match tokio::time::timeout(DEADLINE, self.task).await {
            Ok(result) => result.unwrap(),
            Err(_) => Err(format!("the statement of process {pid} does not finish")),
        }
    }
}
