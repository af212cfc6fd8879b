use tokio_postgres::error::SqlState;

use crate::{database, one};

#[tokio::test]
async fn a_secret_is_stored_encrypted_and_read_decrypted() {
    let client = database().await.connect().await.unwrap();
    client
        .batch_execute("select vault.create_secret('naïve 😀', 'name', 'a description')")
        .await
        .unwrap();
    let secret =
        "select concat_ws('|', name, description, decrypted_secret) from vault.decrypted_secrets";
    assert_eq!(one(&client, secret).await, "name|a description|naïve 😀");
    let is_readable = "select secret like '%naïve%' from vault.secrets";
    assert_eq!(one(&client, is_readable).await, "false");
}

#[tokio::test]
async fn a_name_is_unique() {
    let client = database().await.connect().await.unwrap();
    client
        .batch_execute("select vault.create_secret('a', 'name')")
        .await
        .unwrap();
    let duplicate = client
        .batch_execute("select vault.create_secret('b', 'name')")
        .await
        .unwrap_err();
    assert_eq!(duplicate.code(), Some(&SqlState::UNIQUE_VIOLATION));
    client
        .batch_execute("select vault.create_secret('c'), vault.create_secret('d')")
        .await
        .unwrap();
    assert_eq!(
        one(
            &client,
            "select count(*) from vault.secrets where name is null"
        )
        .await,
        "2"
    );
}

#[tokio::test]
async fn an_update_changes_only_the_given_columns() {
    let client = database().await.connect().await.unwrap();
    client
        .batch_execute("select vault.create_secret('old', 'name', 'about')")
        .await
        .unwrap();
    let secret =
        "select concat_ws('|', name, description, decrypted_secret) from vault.decrypted_secrets";
    client
        .batch_execute("select vault.update_secret(id, 'new') from vault.secrets")
        .await
        .unwrap();
    assert_eq!(one(&client, secret).await, "name|about|new");
    client
        .batch_execute("select vault.update_secret(id, new_name => 'other') from vault.secrets")
        .await
        .unwrap();
    assert_eq!(one(&client, secret).await, "other|about|new");
}

#[tokio::test]
async fn postgres_changes_secrets_only_through_the_functions() {
    let client = database().await.connect().await.unwrap();
    client
        .batch_execute("select vault.create_secret('secret', 'name')")
        .await
        .unwrap();
    for sql in [
        "insert into vault.secrets (secret) values ('x')",
        "update vault.secrets set secret = 'x'",
        "select key from vault.emulation_key",
    ] {
        let error = client.batch_execute(sql).await.unwrap_err();
        assert_eq!(
            error.code(),
            Some(&SqlState::INSUFFICIENT_PRIVILEGE),
            "{sql}"
        );
    }
    client
        .batch_execute("delete from vault.secrets where name = 'name'")
        .await
        .unwrap();
}

#[tokio::test]
async fn api_users_have_no_access() {
    let database = database().await;
    for role in ["anon", "authenticated"] {
        let api = database.connect_as(role).await.unwrap();
        for sql in [
            "select from vault.decrypted_secrets",
            "select vault.create_secret('x')",
        ] {
            let error = api.batch_execute(sql).await.unwrap_err();
            assert_eq!(
                error.code(),
                Some(&SqlState::INSUFFICIENT_PRIVILEGE),
                "{role}: {sql}"
            );
        }
    }
}
