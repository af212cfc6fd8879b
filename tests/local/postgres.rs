//! The cluster and its databases match the platform's, and leave nothing behind.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use supaqueue_local::{Database, Postgres};
use tokio::sync::OnceCell;
use tokio_postgres::error::SqlState;

static POSTGRES: OnceCell<Arc<Postgres>> = OnceCell::const_new();

async fn postgres() -> Arc<Postgres> {
    let start = async || Arc::new(Postgres::builder().start().await.unwrap());
    POSTGRES.get_or_init(start).await.clone()
}

async fn database() -> Database {
    postgres().await.create_database().await.unwrap()
}

/// The result of `sql` as text.
async fn one(client: &tokio_postgres::Client, sql: &str) -> String {
    client
        .query_one(&format!("select ({sql})::text"), &[])
        .await
        .unwrap()
        .get(0)
}

#[tokio::test]
async fn a_database_includes_the_migrations_of_the_template() {
    let postgres = Postgres::builder()
        .migration("create table public.thing (id int)")
        .migration("insert into public.thing values (1)")
        .start()
        .await
        .unwrap();
    let [first, second] = [
        postgres.create_database().await.unwrap(),
        postgres.create_database().await.unwrap(),
    ];
    let client = first.connect().await.unwrap();
    client
        .batch_execute("insert into public.thing values (2)")
        .await
        .unwrap();
    assert_eq!(one(&client, "select count(*) from public.thing").await, "2");
    let client = second.connect().await.unwrap();
    assert_eq!(
        one(&client, "select count(*) from public.thing").await,
        "1",
        "databases are independent"
    );
    postgres.stop().await;
}

#[tokio::test]
async fn a_failed_migration_is_reported_with_the_servers_error() {
    let result = Postgres::builder()
        .migration("select 1")
        .migration("create tabel x ()")
        .start()
        .await;
    let message = result.unwrap_err().to_string();
    assert!(message.contains("cannot apply migration 2"), "{message}");
    assert!(message.contains("syntax error"), "{message}");
}

#[tokio::test]
async fn postgres_owns_the_database_but_is_not_a_superuser() {
    let client = database().await.connect().await.unwrap();
    let role =
        "select concat_ws(' ', rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication)
                from pg_roles where rolname = current_user";
    assert_eq!(one(&client, role).await, "f t t t t");
    client
        .batch_execute("create schema mine; create table mine.thing (); drop schema mine cascade")
        .await
        .unwrap();
    let copy = client
        .batch_execute("copy (select 1) to program 'true'")
        .await
        .unwrap_err();
    assert_eq!(copy.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
}

#[tokio::test]
async fn objects_of_postgres_in_public_are_open_to_the_api_by_default() {
    let database = database().await;
    let client = database.connect().await.unwrap();
    client
        .batch_execute(
            "create table public.thing (id int);
             create function public.answer() returns int language sql as 'select 42'",
        )
        .await
        .unwrap();
    for role in ["anon", "authenticated", "service_role"] {
        let api = database.connect_as(role).await.unwrap();
        assert_eq!(one(&api, "select public.answer()").await, "42", "{role}");
        api.batch_execute("insert into public.thing values (1)")
            .await
            .unwrap();
    }
    let other = client
        .batch_execute("create schema other; create table other.thing ()")
        .await;
    other.unwrap();
    let api = database.connect_as("anon").await.unwrap();
    assert!(
        api.batch_execute("select from other.thing").await.is_err(),
        "other schemas are not"
    );
}

#[tokio::test]
async fn api_sessions_have_a_statement_timeout_of_eight_seconds() {
    let api = database().await.connect_as("anon").await.unwrap();
    assert_eq!(
        one(&api, "select current_setting('statement_timeout')").await,
        "8s"
    );
}

#[tokio::test]
async fn pgcrypto_is_in_schema_extensions() {
    let client = database().await.connect().await.unwrap();
    let digest = "select encode(extensions.hmac('a', 'key', 'sha256'), 'hex')";
    assert_eq!(one(&client, digest).await.len(), 64);
}

#[tokio::test]
async fn case_conversion_is_not_limited_to_ascii_since_17() {
    let want = if postgres().await.version() >= 170_000 {
        "ÄÖ"
    } else {
        "äö"
    };
    assert_eq!(
        one(
            &database().await.connect().await.unwrap(),
            "select upper('äö')"
        )
        .await,
        want
    );
}

#[tokio::test]
async fn killing_postgres_loses_no_row_but_empties_unlogged_tables() {
    let postgres = Postgres::builder().start().await.unwrap();
    let database = postgres.create_database().await.unwrap();
    let client = database.connect().await.unwrap();
    client
        .batch_execute(
            "create table public.kept as select 1;
             select net.http_get('http://127.0.0.1:9/');
             insert into net._http_response (id) values (1)",
        )
        .await
        .unwrap();
    let counts = "select concat_ws(' ', (select count(*) from public.kept),
      (select count(*) from net.http_request_queue), (select count(*) from net._http_response))";
    assert_eq!(one(&client, counts).await, "1 1 1");
    postgres.restart(false).await.unwrap();
    assert!(
        client.batch_execute("select").await.is_err(),
        "sessions end"
    );
    let client = database.connect().await.unwrap();
    assert_eq!(
        one(&client, counts).await,
        "1 1 1",
        "an orderly restart keeps everything"
    );
    // The last commit before the kill is at risk.
    client
        .batch_execute("insert into public.kept values (2)")
        .await
        .unwrap();
    postgres.restart(true).await.unwrap();
    let client = database.connect().await.unwrap();
    assert_eq!(one(&client, counts).await, "2 0 0", "a crash does not");
    postgres.stop().await;
}

#[tokio::test]
async fn nothing_is_left_behind() {
    let postgres = Postgres::builder().start().await.unwrap();
    let (folder, pid) = (postgres.folder().to_owned(), postgres.pid());
    assert!(folder.join("data/PG_VERSION").is_file());
    postgres.stop().await;
    assert!(!folder.exists(), "{} is still there", folder.display());
    let signal = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None);
    assert_eq!(
        signal,
        Err(nix::errno::Errno::ESRCH),
        "process {pid} is still running"
    );
}

#[tokio::test]
async fn clusters_run_side_by_side() {
    let (first, second) = tokio::join!(Postgres::builder().start(), Postgres::builder().start());
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_ne!(first.port(), second.port());
    tokio::join!(first.stop(), second.stop());
}

#[tokio::test]
async fn the_error_names_a_folder_without_postgres() {
    let folder = tempfile::tempdir().unwrap();
    let message = Postgres::builder()
        .bin(folder.path())
        .start()
        .await
        .unwrap_err()
        .to_string();
    assert!(
        message.contains(folder.path().to_str().unwrap()),
        "{message}"
    );
    assert!(message.contains("./scripts/setup"), "{message}");
}

#[tokio::test]
async fn a_refused_setting_is_reported_with_the_servers_error() {
    let result = Postgres::builder()
        .setting("max_connections", "many")
        .start()
        .await;
    let message = result.unwrap_err().to_string();
    assert!(message.contains("max_connections"), "{message}");
}
