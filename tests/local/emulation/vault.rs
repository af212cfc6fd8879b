use supaqueue_tests::{assert_rows, refusal, run};

use crate::{assert_error, connect, database};

const SECRET: &str = "select name, description, decrypted_secret from vault.decrypted_secrets";

const INSUFFICIENT_PRIVILEGE: &str = "42501";
const UNIQUE_VIOLATION: &str = "23505";

#[tokio::test]
async fn a_secret_is_stored_encrypted_and_read_decrypted() {
    let client = connect().await;
    let create = "select vault.create_secret('naïve 😀', 'name', 'a description')";
    run(&client, create).await;
    assert_rows(&client, SECRET, "name|a description|naïve 😀").await;
    let is_readable = "select secret like '%naïve%' from vault.secrets";
    assert_rows(&client, is_readable, "f").await;
}

#[tokio::test]
async fn a_name_is_unique() {
    let client = connect().await;
    run(&client, "select vault.create_secret('a', 'name')").await;
    let duplicate = "select vault.create_secret('b', 'name')";
    assert_error(&client, duplicate, UNIQUE_VIOLATION).await;
    let unnamed = "select vault.create_secret('c'), vault.create_secret('d')";
    run(&client, unnamed).await;
    let count = "select count(*) from vault.secrets where name is null";
    assert_rows(&client, count, "2").await;
}

#[tokio::test]
async fn an_update_changes_only_the_given_columns() {
    let client = connect().await;
    run(
        &client,
        "select vault.create_secret('old', 'name', 'about')",
    )
    .await;
    for (change, want) in [
        ("'new'", "name|about|new"),
        ("new_name => 'other'", "other|about|new"),
    ] {
        let update = format!("select vault.update_secret(id, {change}) from vault.secrets");
        run(&client, &update).await;
        assert_rows(&client, SECRET, want).await;
    }
}

#[tokio::test]
async fn a_secret_encrypted_with_another_key_raises_until_it_is_replaced() {
    let database = database().await;
    let client = database.connect().await.unwrap();
    run(
        &client,
        "select vault.create_secret('old', 'name', 'about')",
    )
    .await;
    let admin = database.connect_as_admin().await.unwrap();
    let restore = "update vault.emulation_key set key = extensions.gen_random_bytes(32)";
    run(&admin, restore).await;
    let message = refusal(&client, SECRET).await;
    assert!(message.contains("invalid ciphertext"), "{message}");
    let update = "select vault.update_secret(id, 'new') from vault.secrets";
    let message = refusal(&client, update).await;
    assert!(message.contains("invalid ciphertext"), "{message}");
    let replace = "delete from vault.secrets; select vault.create_secret('new', 'name', 'about')";
    run(&client, replace).await;
    assert_rows(&client, SECRET, "name|about|new").await;
}

#[tokio::test]
async fn postgres_changes_secrets_only_through_the_functions() {
    let client = connect().await;
    run(&client, "select vault.create_secret('secret', 'name')").await;
    for sql in [
        "insert into vault.secrets (secret) values ('x')",
        "update vault.secrets set secret = 'x'",
        "select key from vault.emulation_key",
    ] {
        assert_error(&client, sql, INSUFFICIENT_PRIVILEGE).await;
    }
    run(&client, "delete from vault.secrets where name = 'name'").await;
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
            assert_error(&api, sql, INSUFFICIENT_PRIVILEGE).await;
        }
    }
}
