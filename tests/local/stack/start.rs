use supaqueue_local::{PostgresSource, Stack, StackBuilder};

use crate::{builder, on_stack};

/// The error of a stack that fails to start.
async fn start_error(builder: StackBuilder) -> String {
    builder.start().await.map(drop).unwrap_err().to_string()
}

#[test]
fn the_error_names_a_program_that_does_not_run_and_the_remedy() {
    on_stack(async |_| {
        for program in ["/bin/false", "/bin/true", "/nowhere/deno"] {
            let message = start_error(builder().deno(program)).await;
            assert!(message.contains(program), "{message}");
            assert!(
                message.contains("Deno") && message.contains("./scripts/setup"),
                "{message}"
            );
        }
        let folder = tempfile::tempdir().unwrap();
        for program in ["postgres", "initdb"] {
            std::os::unix::fs::symlink("/bin/false", folder.path().join(program)).unwrap();
        }
        let message =
            start_error(builder().postgres(PostgresSource::Bin(folder.path().into()))).await;
        assert!(
            message.contains("postgres does not run") && message.contains("./scripts/setup"),
            "{message}"
        );
    });
}

#[test]
fn the_error_names_an_unreachable_address_without_its_password() {
    on_stack(async |_| {
        let url = "postgres://me:secret@127.0.0.1:1/mine";
        let message = start_error(builder().postgres(PostgresSource::Url(url.into()))).await;
        assert!(message.contains("127.0.0.1:1"), "{message}");
        assert!(!message.contains("secret"), "{message}");
        let message = start_error(builder().postgres(PostgresSource::Url("nonsense".into()))).await;
        assert!(message.contains("not a database address"), "{message}");
    });
}

#[test]
fn the_error_names_a_missing_folder_of_functions() {
    on_stack(async |_| {
        let message = start_error(Stack::builder().functions("/nowhere/functions")).await;
        assert!(message.contains("/nowhere/functions"), "{message}");
    });
}

#[test]
fn an_external_database_is_set_up_once_unless_it_belongs_to_a_hosted_project() {
    on_stack(async |own| {
        // A plain database, without anything of the platform.
        let postgres = own.postgres().unwrap();
        let admin = own.database().connect_as_admin().await.unwrap();
        admin
            .batch_execute("create database external_database")
            .await
            .unwrap();
        let external = postgres.database("external_database");
        let url = || PostgresSource::Url(external.admin_url().to_owned());

        let message =
            start_error(builder().postgres(PostgresSource::Url(external.url().to_owned()))).await;
        assert!(message.contains("only a superuser"), "{message}");

        let stack = builder().postgres(url()).start().await.unwrap();
        let first = stack.gateway_url().to_owned();
        assert!(
            stack.restart_postgres(true).await.is_err(),
            "an external Postgres is not restarted"
        );
        stack.stop().await;
        // A second stack can use it and updates the address.
        let stack = builder().postgres(url()).start().await.unwrap();
        let client = external.connect_as_admin().await.unwrap();
        let read =
            "select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_url'";
        let stored: String = client.query_one(read, &[]).await.unwrap().get(0);
        assert_eq!(stored, stack.gateway_url());
        assert_ne!(stored, first);
        stack.stop().await;

        // A hosted project's calls must not be redirected to this machine.
        client
            .batch_execute("select vault.update_secret(id, 'https://ref.supabase.co') from vault.secrets where name = 'supaqueue_url'")
            .await
            .unwrap();
        let message = start_error(builder().postgres(url())).await;
        assert!(message.contains("https://ref.supabase.co"), "{message}");
    });
}
