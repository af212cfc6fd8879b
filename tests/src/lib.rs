//! What the tests of the whole share: a database of their own on a real Postgres.
//!
//! `SUPAQUEUE_POSTGRES_BIN` names another Postgres than the embedded 17.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on must panic

use std::path::PathBuf;
use std::time::{Duration, Instant};

use supaqueue_local::{Database, Postgres};
use tokio::sync::OnceCell;
use tokio_postgres::{Client, SimpleQueryMessage};

/// The top folder of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .canonicalize()
        .unwrap()
}

/// The Postgres of this test program, started once; it ends with the program.
pub async fn postgres() -> &'static Postgres {
    static POSTGRES: OnceCell<Postgres> = OnceCell::const_new();
    POSTGRES
        .get_or_init(|| async {
            Postgres::builder()
                .setting("max_connections", "200")
                .migration(supaqueue_files::core().from_scratch())
                .start()
                .await
                .expect("Postgres starts")
        })
        .await
}

/// A database of the test's own, with Supaqueue, its secret and its address, and
/// one connection as `postgres` (which is no superuser).
pub struct Db {
    database: Database,
    client: Client,
}

/// The secret in the Vault of every test database.
pub const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

impl Db {
    /// A new database that can dispatch.
    pub async fn new() -> Self {
        let db = Self::without_secrets().await;
        db.run(&format!(
            "select vault.create_secret('{SECRET}', 'supaqueue_secret')"
        ))
        .await;
        db.run("select vault.create_secret('http://127.0.0.1:9', 'supaqueue_url')")
            .await;
        db
    }

    /// A new database with nothing in its Vault.
    pub async fn without_secrets() -> Self {
        let database = postgres()
            .await
            .create_database()
            .await
            .expect("a database is made");
        let client = database.connect().await.expect("postgres connects");
        Self { database, client }
    }

    /// The database itself, for more connections and other roles.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The connection as `postgres`.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// One more connection as `postgres`.
    pub async fn connect(&self) -> Client {
        self.database.connect().await.expect("postgres connects")
    }

    /// Runs statements; panics with the statement where one fails.
    pub async fn run(&self, sql: &str) {
        run(&self.client, sql).await;
    }

    /// What a query gives, as text: columns separated by `|`, rows by newlines.
    pub async fn get(&self, sql: &str) -> String {
        get(&self.client, sql).await
    }

    /// The error that a statement fails with, as "message; hint"; a constraint's name where it is one.
    pub async fn refusal(&self, sql: &str) -> String {
        refusal(&self.client, sql).await
    }

    /// Makes a queue of the function `hello` with that many workers. Its retries wait for minutes,
    /// so that none starts while a test looks.
    pub async fn queue(&self, name: &str, workers: u32) {
        self.run(&format!(
            "insert into supaqueue.queue (name, edge_function_name, backoff_base_ms, backoff_max_ms)
             values ('{name}', 'hello', 300000, 300000);
             select supaqueue.set_workers('{name}', {workers})"
        ))
        .await;
    }
}

/// [`Db::run`] on any connection.
pub async fn run(client: &Client, sql: &str) {
    if let Err(error) = client.batch_execute(sql).await {
        panic!(
            "{sql}\n  failed: {}",
            error
                .as_db_error()
                .map_or(error.to_string(), ToString::to_string)
        );
    }
}

/// [`Db::get`] on any connection.
pub async fn get(client: &Client, sql: &str) -> String {
    let messages = match client.simple_query(sql).await {
        Ok(messages) => messages,
        Err(error) => {
            panic!(
                "{sql}\n  failed: {}",
                error
                    .as_db_error()
                    .map_or(error.to_string(), ToString::to_string)
            )
        }
    };
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => {
            let columns: Vec<_> = (0..row.len())
                .map(|column| row.get(column).unwrap_or("null"))
                .collect();
            Some(columns.join("|"))
        }
        _ => None,
    });
    rows.collect::<Vec<_>>().join("\n")
}

/// [`Db::refusal`] on any connection.
pub async fn refusal(client: &Client, sql: &str) -> String {
    let Err(error) = client.simple_query(sql).await else {
        panic!("{sql}\n  did not fail");
    };
    let error = error
        .as_db_error()
        .expect("an error of the database")
        .clone();
    match (error.constraint(), error.hint()) {
        (Some(constraint), _) => constraint.to_owned(),
        (None, Some(hint)) => format!("{}; {hint}", error.message()),
        (None, None) => error.message().to_owned(),
    }
}

/// Waits until a query gives what is wanted; panics with what it gave after 20 seconds.
pub async fn eventually(client: &Client, sql: &str, want: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let got = get(client, sql).await;
        if got == want {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{sql}\n  gives {got:?}, not {want:?}, after 20 s"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until a backend waits for a lock, so that a test knows that an interleaving was reached.
pub async fn eventually_blocked(observer: &Client, process: i32) {
    eventually(
        observer,
        &format!("select cardinality(pg_blocking_pids({process})) > 0"),
        "t",
    )
    .await;
}

/// The process of a connection, for [`eventually_blocked`].
pub async fn process(client: &Client) -> i32 {
    get(client, "select pg_backend_pid()")
        .await
        .parse()
        .unwrap()
}

/// Rows of tables of the schema `supaqueue` (`'job', 'worker'`) that a statement reads, with all
/// that it leaves to the end of its transaction.
pub async fn rows_read(client: &Client, tables: &str, statement: &str) -> u64 {
    let rows = format!(
        "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) from pg_stat_xact_all_tables
         where schemaname = 'supaqueue' and relname in ({tables})"
    );
    // What the session did a moment ago may still be among them.
    let so_far = async || -> u64 { get(client, &rows).await.parse().unwrap() };
    run(client, "begin").await;
    let before = so_far().await;
    run(client, statement).await;
    run(client, "set constraints all immediate").await;
    let after = so_far().await;
    run(client, "commit").await;
    after - before
}
