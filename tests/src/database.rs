//! A database per test on one real Postgres, and queries that return text.

use std::future::poll_fn;
use std::time::{Duration, Instant};

use supaqueue_files::core;
use supaqueue_local::{Database, Postgres};
use tokio::sync::OnceCell;
use tokio_postgres::{AsyncMessage, Client, Error, NoTls, SimpleQueryMessage};

/// The secret in the Vault of every test database.
pub const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The tick as pg_cron runs it (`supaqueue.tick_command`): it commits each step, so it must be a statement of
/// its own.
pub const TICK: &str = "do $tick$ declare s jsonb := '{}'; q uuid[]; l uuid[]; begin while s is not null loop commit; \
    set transaction isolation level read committed; \
    select t.* into s, q, l from supaqueue.tick_step(s, q, l) t; end loop; end $tick$";
/// The tick in one transaction, as anybody can call it.
pub const TICK_IN_TRANSACTION: &str = "call supaqueue.tick()";

/// The Postgres of this test program: started once, stopped when the program ends.
pub async fn postgres() -> &'static Postgres {
    static POSTGRES: OnceCell<Postgres> = OnceCell::const_new();
    POSTGRES
        .get_or_init(|| async {
            Postgres::builder()
                .setting("max_connections", "200")
                .migration(core().from_scratch())
                .start()
                .await
                .expect("Postgres starts")
        })
        .await
}

/// A test's own database with Supaqueue, its secret and its address, and one connection as
/// `postgres` (which is not a superuser).
pub struct Db {
    database: Database,
    client: Client,
}

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
        db.schedule_tick().await;
        db
    }

    /// A new database with an empty Vault.
    pub async fn without_secrets() -> Self {
        let database = postgres()
            .await
            .create_database()
            .await
            .expect("a database is created");
        let client = database.connect().await.expect("postgres connects");
        Self { database, client }
    }

    /// The database itself, for further connections and other roles.
    #[must_use]
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The connection as `postgres`.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Opens another connection as `postgres`.
    pub async fn connect(&self) -> Client {
        self.database.connect().await.expect("postgres connects")
    }

    /// See [`run`].
    pub async fn run(&self, sql: &str) {
        run(&self.client, sql).await;
    }

    /// Schedules the tick, which no pg_cron runs in a test's database, and runs it once.
    pub async fn schedule_tick(&self) {
        self.run("select supaqueue.schedule_tick()").await;
        self.tick().await;
    }

    /// Runs the tick as pg_cron does.
    pub async fn tick(&self) {
        self.run(TICK).await;
    }

    /// See [`get`].
    pub async fn get(&self, sql: &str) -> String {
        get(&self.client, sql).await
    }

    /// See [`refusal`].
    pub async fn refusal(&self, sql: &str) -> String {
        refusal(&self.client, sql).await
    }

    /// The warnings that a statement raises on a connection of its own, as "message; hint".
    pub async fn warnings(&self, sql: &str) -> Vec<String> {
        let url = self.database.url();
        let (client, mut connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let warnings = tokio::spawn(async move {
            let mut warnings = Vec::new();
            while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notice(notice) = message.unwrap() {
                    let hint = notice.hint().unwrap_or("no hint");
                    warnings.push(format!("{}; {hint}", notice.message()));
                }
            }
            warnings
        });
        run(&client, sql).await;
        drop(client);
        warnings.await.unwrap()
    }

    /// Creates a queue for the function `hello` with `workers` workers. Its retries wait for
    /// minutes, so that none starts during a test.
    pub async fn queue(&self, name: &str, workers: u32) {
        self.run(&format!(
            "insert into supaqueue.queue (name, edge_function_name, backoff_base_ms, backoff_max_ms)
             values ('{name}', 'hello', 300000, 300000);
             select supaqueue.set_workers('{name}', {workers})"
        ))
        .await;
    }
}

/// Runs statements; panics with their text if one fails.
pub async fn run(client: &Client, sql: &str) {
    if let Err(error) = client.batch_execute(sql).await {
        panic!("{sql}\n  failed: {}", describe(&error));
    }
}

/// [`try_get`], but panics with the statement if it fails.
pub async fn get(client: &Client, sql: &str) -> String {
    try_get(client, sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}\n  failed: {error}"))
}

/// The result of a query as text, columns separated by `|` and rows by newlines; or its SQLSTATE
/// and message.
pub async fn try_get(client: &Client, sql: &str) -> Result<String, String> {
    let messages = client
        .simple_query(sql)
        .await
        .map_err(|error| describe(&error))?;
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

/// Asserts what [`get`] returns for a query.
pub async fn assert_rows(client: &Client, sql: &str, want: &str) {
    assert_eq!(get(client, sql).await, want, "{sql}");
}

/// The error that a statement fails with: the name of a violated constraint, else
/// "message; hint". Panics if the statement succeeds.
pub async fn refusal(client: &Client, sql: &str) -> String {
    let Err(error) = client.simple_query(sql).await else {
        panic!("{sql}\n  did not fail");
    };
    let error = error.as_db_error().expect("an error from the database");
    match (error.constraint(), error.hint()) {
        (Some(constraint), _) => constraint.to_owned(),
        (None, Some(hint)) => format!("{}; {hint}", error.message()),
        (None, None) => error.message().to_owned(),
    }
}

fn describe(error: &Error) -> String {
    match error.as_db_error() {
        Some(error) => format!(
            "{} {error} {} {}",
            error.code().code(),
            error.detail().unwrap_or_default(),
            error.where_().unwrap_or_default()
        ),
        None => error.to_string(),
    }
}

/// Polls a query until it returns `want`; panics with its last result after 20 seconds.
pub async fn eventually(client: &Client, sql: &str, want: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let got = get(client, sql).await;
        if got == want {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{sql}\n  returns {got:?}, not {want:?}, after 20 s"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Number of rows that a statement, with its deferred triggers, reads from `tables` of the schema
/// `supaqueue` (a list such as `'job', 'worker'`).
pub async fn rows_read(client: &Client, tables: &str, statement: &str) -> u64 {
    let rows = format!(
        "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) from pg_stat_xact_all_tables
         where schemaname = 'supaqueue' and relname in ({tables})"
    );
    let so_far = async || -> u64 { get(client, &rows).await.parse().unwrap() };
    run(client, "begin").await;
    // Reads of the session's previous statements may still be included.
    let before = so_far().await;
    run(client, statement).await;
    run(client, "set constraints all immediate").await;
    let after = so_far().await;
    run(client, "commit").await;
    after - before
}

/// Replaces a part of a function, of the engine unless it names its schema, to show that a test notices; panics if the
/// function does not contain it. Returns the original definition.
pub async fn break_function(client: &Client, function: &str, from: &str, to: &str) -> String {
    let name = match function.contains('.') {
        true => function.to_owned(),
        false => format!("supaqueue.{function}"),
    };
    let sql = get(
        client,
        &format!("select pg_get_functiondef('{name}'::regproc)"),
    )
    .await;
    assert!(
        sql.contains(from),
        "{function} no longer contains {from:?}: break it in another way"
    );
    run(client, &sql.replace(from, to)).await;
    sql
}

/// Lets all functions pause now and then, so that what can come between two of their statements often does.
///
/// # Panics
///
/// If it fails.
pub async fn let_functions_pause(db: &Db) {
    db.run(
        r"do $do$
        declare
          function record;
        begin
          for function in
            select pg_get_functiondef(p.oid) as definition
            from pg_proc p
            join pg_language l on l.oid = p.prolang
            where p.pronamespace = 'supaqueue'::regnamespace and p.prokind = 'f' and p.provolatile = 'v'
              and l.lanname = 'plpgsql' and p.prorettype <> 'trigger'::regtype
          loop
            assert function.definition ~ E'\nbegin\n', function.definition;
            execute regexp_replace(function.definition, E'\nbegin\n',
              E'\nbegin\n  perform pg_sleep(random() * 0.03) where random() < 0.04;\n');
          end loop;
        end
        $do$",
    )
    .await;
}
