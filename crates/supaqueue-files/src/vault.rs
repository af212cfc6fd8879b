//! How secret and address get into the Vault.
//!
//! No statement holds the secret, so that no log of statements can have it: it is made in the
//! database.

use postgres_protocol::escape::escape_literal;

/// Makes a secret of 32 random bytes under the name of the next one, unless there is one: it is in
/// force once it is renamed. The bytes are those of three random UUIDs, 366 bits, hashed, since
/// `pgcrypto` may not be there yet.
pub const MAKE_NEXT_SECRET: &str = "
    select vault.create_secret(
      'whsec_' || encode(sha256(
        uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), 'base64'),
      'supaqueue_secret_next', 'Supaqueue: the key that will sign')
    where not exists (select from vault.secrets s where s.name = 'supaqueue_secret_next');";

/// Makes the next secret the one that signs; the one before becomes the previous one.
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

/// Forgets the previous secret.
pub const FORGET_PREVIOUS_SECRET: &str =
    "delete from vault.secrets where name = 'supaqueue_secret_previous'";

/// The statement that stores a given secret, over the one that is there. For a local stack, whose
/// secret protects nothing: a project's own is made in its database.
#[must_use]
pub fn store_secret(secret: &str) -> String {
    let description =
        "Supaqueue: signs what is sent to the function, which has it as SUPAQUEUE_SECRET";
    store("supaqueue_secret", secret, description)
}

/// The statement that stores the project's address, over the one that is there.
#[must_use]
pub fn store_url(url: &str) -> String {
    let description = "Supaqueue: the project's address, without a path";
    store("supaqueue_url", url, description)
}

/// The statement that stores the key that the project's gateway asks for; it is public.
#[must_use]
pub fn store_anon_key(key: &str) -> String {
    let description = "Supaqueue: the key that the project's gateway asks for; it is public";
    store("supaqueue_anon_key", key, description)
}

fn store(name: &str, value: &str, description: &str) -> String {
    let [name, value, description] = [name, value, description].map(escape_literal);
    format!(
        "select case
           when s.id is null then vault.create_secret({value}, {name}, {description})::text
           else vault.update_secret(s.id, {value}, new_description => {description})::text
         end
         from (select {name}::text as name) wanted
         left join vault.secrets s using (name);"
    )
}

/// Whether a secret has the form `whsec_<base64>`. One that has not would stop the function.
#[must_use]
pub fn is_key(secret: &str) -> bool {
    let base64 = |text: &str| {
        text.len() >= 32
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
    };
    secret.strip_prefix("whsec_").is_some_and(base64)
}
