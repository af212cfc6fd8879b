//! The statements that put the secret and the project's URL into Supabase's Vault.
//!
//! A project's secret is generated in its database, so that no statement contains it and no log
//! of statements can.

use postgres_protocol::escape::escape_literal;

/// Generates the next secret, unless there is one. It is not used before [`PROMOTE_NEXT_SECRET`].
///
/// It hashes three random UUIDs (366 random bits) to 32 bytes: `pgcrypto` may not be installed yet.
pub const CREATE_NEXT_SECRET: &str = "
    select vault.create_secret(
      'whsec_' || encode(sha256(
        uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'base64'),
      'supaqueue_secret_next', 'Supaqueue: the key that will sign')
    where not exists (select from vault.secrets s where s.name = 'supaqueue_secret_next');";

/// Makes the database sign with the next secret, and keeps the current one as the previous one.
pub const PROMOTE_NEXT_SECRET: &str = "
    select vault.update_secret(s.id, new_name => 'supaqueue_secret_previous',
      new_description => 'Supaqueue: the key that signed before')
    from vault.secrets s
    where s.name = 'supaqueue_secret'
      and exists (select from vault.secrets n where n.name = 'supaqueue_secret_next');
    select vault.update_secret(s.id, new_name => 'supaqueue_secret',
      new_description => 'Supaqueue: signs what is sent to the function, which has it as SUPAQUEUE_SECRET')
    from vault.secrets s
    where s.name = 'supaqueue_secret_next';";

/// Deletes the previous secret.
pub const DELETE_PREVIOUS_SECRET: &str =
    "delete from vault.secrets where name = 'supaqueue_secret_previous'";

/// The statements that store a given secret, or replaces it. Only for local stacks: it contains
/// the value.
#[must_use]
pub fn upsert_secret(secret: &str) -> String {
    let description =
        "Supaqueue: signs what is sent to the function, which has it as SUPAQUEUE_SECRET";
    upsert("supaqueue_secret", secret, description)
}

/// The statements that store the project's URL, or replaces it.
#[must_use]
pub fn upsert_url(url: &str) -> String {
    let description = "Supaqueue: the project's URL, without a path";
    upsert("supaqueue_url", url, description)
}

/// The statements that store the public key that the project's gateway requires, or replaces it.
#[must_use]
pub fn upsert_anon_key(key: &str) -> String {
    let description = "Supaqueue: the key that the project's gateway requires; it is public";
    upsert("supaqueue_anon_key", key, description)
}

fn upsert(name: &str, value: &str, description: &str) -> String {
    let [value, description] = [value, description].map(escape_literal);
    let create = format!(
        "select vault.create_secret({value}, {}, {description});",
        escape_literal(name)
    );
    delete([name]) + &create
}

/// The statement that deletes entries. It works also where the Vault cannot decrypt them.
#[must_use]
pub fn delete<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().map(escape_literal).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!(
            "delete from vault.secrets where name in ({});",
            names.join(", ")
        ),
    }
}

/// Whether a secret has the form `whsec_<base64>`. The function does not start with any other.
#[must_use]
pub fn is_signing_key(secret: &str) -> bool {
    let base64 = |text: &str| {
        text.len() >= 32
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
    };
    secret.strip_prefix("whsec_").is_some_and(base64)
}
