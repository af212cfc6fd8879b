use supaqueue_local::{PostgresSource, Stack, StackBuilder};

use crate::{builder, on_stack};

/// What a stack that does not start says.
async fn failure(builder: StackBuilder) -> String {
    builder.start().await.map(drop).unwrap_err().to_string()
}

#[test]
fn a_program_that_does_not_run_is_named_with_the_remedy() {
    on_stack(async |_| {
        for program in ["/bin/false", "/bin/true", "/nowhere/deno"] {
            let message = failure(builder().deno(program)).await;
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
        let message = failure(builder().postgres(PostgresSource::Bin(folder.path().into()))).await;
        assert!(
            message.contains("postgres does not run") && message.contains("./scripts/setup"),
            "{message}"
        );
    });
}

#[test]
fn an_address_that_nobody_answers_is_named_without_its_password() {
    on_stack(async |_| {
        let url = "postgres://me:secret@127.0.0.1:1/mine";
        let message = failure(builder().postgres(PostgresSource::Url(url.into()))).await;
        assert!(message.contains("127.0.0.1:1"), "{message}");
        assert!(!message.contains("secret"), "{message}");
        let message = failure(builder().postgres(PostgresSource::Url("nonsense".into()))).await;
        assert!(
            message.contains("not the address of a database"),
            "{message}"
        );
    });
}

#[test]
fn a_folder_of_functions_that_is_not_there_is_named() {
    on_stack(async |_| {
        let message = failure(Stack::builder().functions("/nowhere/functions")).await;
        assert!(message.contains("/nowhere/functions"), "{message}");
    });
}

#[test]
fn a_database_of_somebody_else_is_used_as_it_is() {
    on_stack(async |own| {
        // A plain database in a cluster that knows nothing of the platform but its superuser.
        let postgres = own.postgres().unwrap();
        let admin = own.database().connect_as_admin().await.unwrap();
        admin
            .batch_execute("create database foreign_database")
            .await
            .unwrap();
        let foreign = postgres.database("foreign_database");
        let url = || PostgresSource::Url(foreign.admin_url().to_owned());

        let message =
            failure(builder().postgres(PostgresSource::Url(foreign.url().to_owned()))).await;
        assert!(message.contains("only a superuser"), "{message}");

        let stack = builder().postgres(url()).start().await.unwrap();
        let first = stack.gateway_url().to_owned();
        assert!(
            stack.restart_postgres(true).await.is_err(),
            "it is not ours to kill"
        );
        stack.stop().await;
        // It can be used again, and knows the new address.
        let stack = builder().postgres(url()).start().await.unwrap();
        let client = foreign.connect_as_admin().await.unwrap();
        let read =
            "select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_url'";
        let stored: String = client.query_one(read, &[]).await.unwrap().get(0);
        assert_eq!(stored, stack.gateway_url());
        assert_ne!(stored, first);
        stack.stop().await;

        // A hosted project's calls must not be turned to this machine.
        client
            .batch_execute("select vault.update_secret(id, 'https://ref.supabase.co') from vault.secrets where name = 'supaqueue_url'")
            .await
            .unwrap();
        let message = failure(builder().postgres(url())).await;
        assert!(message.contains("https://ref.supabase.co"), "{message}");
    });
}
