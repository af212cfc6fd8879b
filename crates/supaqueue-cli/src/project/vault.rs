//! The Vault of a project, which holds the secret that the database signs with, and the project's URL.

use anyhow::Result;
use supaqueue_files::{DatabaseState, vault};
use url::Url;

use super::database::Database;
use crate::user_error::user_error;

/// Generates the next secret in the Vault and returns the new state. Secrets that the Vault cannot decrypt are of no more
/// use, and would be in its way.
pub(crate) async fn create_next_secret(
    database: &Database,
    state: &DatabaseState,
) -> Result<DatabaseState> {
    let is_secret = |name: &&str| name.starts_with("supaqueue_secret");
    let unreadable = state.unreadable.keys().map(String::as_str);
    let sql = format!(
        "{}\n{}\n{}",
        vault::delete(unreadable.filter(is_secret)),
        vault::CREATE_NEXT_SECRET,
        DatabaseState::QUERY
    );
    database.query(&sql).await
}

/// Makes the database sign with the next secret and returns the new state.
pub(crate) async fn promote_next_secret(database: &Database) -> Result<DatabaseState> {
    let sql = format!("{}\n{}", vault::PROMOTE_NEXT_SECRET, DatabaseState::QUERY);
    database.query(&sql).await
}

/// Deletes the previous secret.
pub(crate) async fn delete_previous_secret(database: &Database) -> Result<()> {
    database.run(vault::DELETE_PREVIOUS_SECRET).await
}

/// Checks a project's URL and returns it as the Vault stores it: `https://host`, without a path.
pub(crate) fn check_project_url(text: &str) -> Result<String> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        // Nothing but scheme, host and port.
        .filter(|url| url.as_str().trim_end_matches('/') == url.origin().ascii_serialization())
        .map(|url| url.origin().ascii_serialization())
        .ok_or_else(|| {
            user_error(
                format!("{text} is not a project URL"),
                "Use the form https://host or http://host:port, without a path.",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_url_has_no_path() {
        for (url, want) in [
            ("https://x.supabase.co/", "https://x.supabase.co"),
            ("https://x.supabase.co", "https://x.supabase.co"),
            ("http://127.0.0.1:54321", "http://127.0.0.1:54321"),
        ] {
            assert_eq!(check_project_url(url).unwrap(), want);
        }
        for wrong in [
            "x.supabase.co",
            "https://",
            "https://x/functions/v1",
            "https://x?a",
            "https://x#a",
            "ftp://x",
            "https://a b",
            "https://u:p@x",
        ] {
            assert!(check_project_url(wrong).is_err(), "{wrong}");
        }
    }
}
