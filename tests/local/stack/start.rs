use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use supaqueue_local::PostgresSource::{Bin, Url};
use supaqueue_local::{Stack, StackBuilder};
use supaqueue_tests::{get, run};

use crate::{builder, http, on_stack, start};

/// Asserts that a stack does not start, with an error that contains these words; returns the error.
async fn assert_error(stack: StackBuilder, words: &[&str]) -> String {
    let message = stack.start().await.map(drop).unwrap_err().to_string();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
    message
}

#[test]
fn the_error_names_a_program_that_does_not_run_and_the_remedy() {
    on_stack(async |_| {
        for program in ["/bin/false", "/bin/true", "/nowhere/deno"] {
            let words = [program, "Deno", "scripts/setup"];
            assert_error(builder().deno(program), &words).await;
        }
        let folder = tempfile::tempdir().unwrap();
        for (program, says, words) in [
            (
                "deno",
                "deno 1.46.3 (stable)",
                ["is version 1.46.3", "2 is the oldest"],
            ),
            (
                "postgres",
                "postgres (PostgreSQL) 14.9",
                ["is version 14", "15 is the oldest"],
            ),
        ] {
            let path = folder.path().join(program);
            std::fs::write(&path, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
            std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
            std::fs::write(folder.path().join("initdb"), "").unwrap();
            let stack = match program {
                "deno" => builder().deno(path),
                _ => builder().postgres(Bin(folder.path().into())),
            };
            assert_error(stack, &words).await;
        }
        let folder = tempfile::tempdir().unwrap();
        for program in ["postgres", "initdb"] {
            std::os::unix::fs::symlink("/bin/false", folder.path().join(program)).unwrap();
        }
        let words = ["postgres does not run", "scripts/setup"];
        assert_error(builder().postgres(Bin(folder.path().into())), &words).await;
    });
}

#[test]
fn the_error_names_an_unreachable_address_without_its_password() {
    on_stack(async |_| {
        let stack = |url: &str| builder().postgres(Url(url.into()));
        let unreachable = stack("postgres://me:secret@127.0.0.1:1/mine");
        let message = assert_error(unreachable, &["127.0.0.1:1"]).await;
        assert!(!message.contains("secret"), "{message}");
        assert_error(stack("nonsense"), &["not a database address"]).await;
    });
}

#[test]
fn the_error_names_a_missing_folder_of_functions() {
    on_stack(async |_| {
        let stack = Stack::builder().functions("/nowhere/functions");
        assert_error(stack, &["/nowhere/functions"]).await;
    });
}

#[test]
fn an_external_database_is_set_up_once_unless_it_belongs_to_a_hosted_project() {
    on_stack(async |own| {
        // A plain database, without anything of the platform.
        let admin = own.database().connect_as_admin().await.unwrap();
        run(&admin, "create database external_database").await;
        let external = own.postgres().unwrap().database("external_database");
        let as_admin = || builder().postgres(Url(external.admin_url().into()));

        let as_postgres = builder().postgres(Url(external.url().into()));
        assert_error(as_postgres, &["only a superuser"]).await;

        let stack = start(as_admin()).await;
        let first = stack.gateway_url().to_owned();
        let secret = stack.secret().to_owned();
        assert!(
            stack.restart_postgres(true).await.is_err(),
            "an external Postgres is not restarted"
        );
        assert!(stack.kill_net_worker().await.is_err());
        stack.stop().await;
        // A second stack can use it, updates the address and keeps the secret.
        let stack = start(as_admin()).await;
        let client = external.connect_as_admin().await.unwrap();
        let read =
            "select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_url'";
        let stored = get(&client, read).await;
        assert_eq!(stored, stack.gateway_url());
        assert_ne!(stored, first);
        assert_eq!(stack.secret(), secret);
        assert_eq!(
            get(&client, SECRETS).await,
            format!("supaqueue_secret={secret}")
        );
        stack.stop().await;

        // A hosted project's calls must not be redirected to this machine.
        let hosted = "https://ref.supabase.co";
        let update = format!(
            "select vault.update_secret(id, '{hosted}') from vault.secrets
             where name = 'supaqueue_url'"
        );
        run(&client, &update).await;
        assert_error(as_admin(), &[hosted]).await;
    });
}

#[test]
fn a_hop_delays_requests_to_functions_and_to_the_database() {
    on_stack(async |_| {
        let hop = Duration::from_millis(500);
        let stack = start(builder().install(false).hop(hop)).await;
        for path in ["functions/v1/missing", "rest/v1/rpc/missing"] {
            let url = format!("{}/{path}", stack.gateway_url());
            let asked = Instant::now();
            let status = http().post(url).send().await.unwrap().status();
            assert!(status.is_client_error(), "{path}: {status}");
            assert!(asked.elapsed() >= hop, "{path}: {:?}", asked.elapsed());
        }
        stack.stop().await;
    });
}

/// The secrets, without the address.
const SECRETS: &str = "select string_agg(name || '=' || decrypted_secret, ' ' order by name)
    from vault.decrypted_secrets where name like 'supaqueue_secret%'";

#[test]
fn an_installation_keeps_its_secret() {
    on_stack(async |own| {
        let admin = own.database().connect_as_admin().await.unwrap();
        run(&admin, "create database installed").await;
        let installed = own.postgres().unwrap().database("installed");
        let as_admin = || builder().postgres(Url(installed.admin_url().into()));
        start(as_admin().install(false)).await.stop().await;
        let client = installed.connect_as_admin().await.unwrap();
        for (name, change) in [
            ("supaqueue_secret", ""),
            // Its address leads to this machine, as that of `supabase start` does.
            (
                "supaqueue_secret",
                "select vault.create_secret('http://kong:8000', 'supaqueue_url')",
            ),
            // Postgres without pg_cron, which a superuser would set up.
            ("supaqueue_secret", "drop schema cron cascade"),
            (
                "supaqueue_secret_next",
                "select vault.update_secret(id, new_name => 'supaqueue_secret_next')
                from vault.secrets where name = 'supaqueue_secret'",
            ),
        ] {
            let create = "select vault.create_secret('whsec_theirs', 'supaqueue_secret', 'theirs')
                where not exists (select from vault.secrets where name like 'supaqueue_secret%')";
            run(&client, create).await;
            run(&client, change).await;
            assert_error(
                as_admin(),
                &["Supaqueue is installed in it", name, "supaqueue remove"],
            )
            .await;
            assert_eq!(
                get(&client, SECRETS).await,
                format!("{name}=whsec_theirs"),
                "{change}"
            );
            let schema = "select to_regnamespace('supaqueue') is null";
            assert_eq!(get(&client, schema).await, "t", "{change}");
        }
    });
}

#[test]
fn a_database_elsewhere_is_refused_before_it_is_told_anything() {
    on_stack(async |own| {
        let port = own.postgres().unwrap().port();
        for place in [
            "db.example.com:5432/x".to_owned(),
            format!("db.example.com:{port}/x?hostaddr=127.0.0.1"),
            format!("127.0.0.1:{port},db.example.com:{port}/x"),
        ] {
            let stack = builder().postgres(Url(format!("postgres://me:secret@{place}")));
            let message = assert_error(stack, &["it is not on this machine"]).await;
            assert!(!message.contains("secret"), "{message}");
        }
    });
}

#[test]
fn a_database_that_does_not_answer_is_given_up() {
    on_stack(async |_| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let stack = builder().postgres(Url(format!("postgres://me@{address}/x")));
        assert_error(
            stack,
            &["cannot connect to Postgres at 127.0.0.1", "within 10 s"],
        )
        .await;
    });
}
