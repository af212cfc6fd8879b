use tokio_postgres::error::SqlState;

use crate::{database, one};

#[tokio::test]
async fn a_secret_is_kept_encrypted_and_read_in_the_clear() {
    let client = database().await.connect().await.unwrap();
    client
        .batch_execute("select vault.create_secret('naïve 😀', 'name', 'what it is for')")
        .await
        .unwrap();
    let read =
        "select concat_ws('|', name, description, decrypted_secret) from vault.decrypted_secrets";
    assert_eq!(one(&client, read).await, "name|what it is for|naïve 😀");
    let kept = "select secret like '%naïve%' from vault.secrets";
    assert_eq!(one(&client, kept).await, "false");
}

#[tokio::test]
async fn a_name_is_taken_once() {
    let client = database().await.connect().await.unwrap();
    client
        .batch_execute("select vault.create_secret('a', 'name')")
        .await
        .unwrap();
    let again = client
        .batch_execute("select vault.create_secret('b', 'name')")
        .await
        .unwrap_err();
    assert_eq!(again.code(), Some(&SqlState::UNIQUE_VIOLATION));
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
async fn an_update_changes_what_it_is_given() {
    let client = database().await.connect().await.unwrap();
    client
        .batch_execute("select vault.create_secret('old', 'name', 'about')")
        .await
        .unwrap();
    let read =
        "select concat_ws('|', name, description, decrypted_secret) from vault.decrypted_secrets";
    client
        .batch_execute("select vault.update_secret(id, 'new') from vault.secrets")
        .await
        .unwrap();
    assert_eq!(one(&client, read).await, "name|about|new");
    client
        .batch_execute("select vault.update_secret(id, new_name => 'other') from vault.secrets")
        .await
        .unwrap();
    assert_eq!(one(&client, read).await, "other|about|new");
}

#[tokio::test]
async fn postgres_changes_secrets_by_the_functions_alone() {
    let client = database().await.connect().await.unwrap();
    client
        .batch_execute("select vault.create_secret('secret', 'name')")
        .await
        .unwrap();
    for sql in [
        "insert into vault.secrets (secret) values ('x')",
        "update vault.secrets set secret = 'x'",
        "select key from vault.stand_in_key",
    ] {
        let refused = client.batch_execute(sql).await.unwrap_err();
        assert_eq!(
            refused.code(),
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
async fn users_of_the_api_see_nothing() {
    let database = database().await;
    for role in ["anon", "authenticated"] {
        let api = database.connect_as(role).await.unwrap();
        for sql in [
            "select from vault.decrypted_secrets",
            "select vault.create_secret('x')",
        ] {
            let refused = api.batch_execute(sql).await.unwrap_err();
            assert_eq!(
                refused.code(),
                Some(&SqlState::INSUFFICIENT_PRIVILEGE),
                "{role}: {sql}"
            );
        }
    }
}
