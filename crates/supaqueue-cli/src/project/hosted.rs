//! A project hosted by Supabase, changed through the Supabase CLI.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use super::local::GATEWAY_URL;
use super::private_temp_dir::PrivateTempDir;
use super::supabase_cli::SupabaseCli;
use crate::user_error::user_error;

/// The name of our secret in the functions' environment.
pub(crate) const SECRET: &str = "SUPAQUEUE_SECRET";

/// The name of our function.
pub(crate) const FUNCTION: &str = "supaqueue";

/// A hosted project.
pub(crate) struct Hosted {
    pub(crate) cli: SupabaseCli,
    pub(crate) reference: String,
    pub(crate) name: String,
}

/// A project in `supabase projects list`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ListedProject {
    /// The reference. Newer versions of the CLI list it as `ref` too.
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) region: String,
    #[serde(default)]
    pub(crate) status: String,
}

/// A function in `supabase functions list`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ListedFunction {
    pub(crate) slug: String,
    #[serde(default)]
    pub(crate) version: u64,
    #[serde(default)]
    pub(crate) verify_jwt: Option<bool>,
}

/// A secret in `supabase secrets list`.
#[derive(Deserialize)]
struct ListedSecret {
    name: String,
    /// A digest of the secret's value.
    value: Option<String>,
}

/// A key in `supabase projects api-keys`.
#[derive(Deserialize)]
struct ListedKey {
    name: Option<String>,
    r#type: Option<String>,
    api_key: Option<String>,
}

/// Lists the account's projects, which also verifies the login.
pub(crate) async fn projects(cli: &SupabaseCli) -> Result<Vec<ListedProject>> {
    items(cli.json(&["projects", "list"]).await?, "projects")
}

/// A preview branch. It is not among the account's projects, and answers as one.
pub(crate) async fn branch(cli: &SupabaseCli, reference: &str) -> Result<Hosted> {
    let branch = Hosted {
        cli: cli.clone(),
        reference: reference.to_owned(),
        name: "preview branch".to_owned(),
    };
    match branch.functions().await {
        Ok(_) => Ok(branch),
        Err(error) => Err(user_error(
            format!("this account has no project {reference}, and no preview branch: {error}"),
            "Run `supabase projects list` or `supabase branches list`, and check that you are logged in to the right account.",
        )),
    }
}

/// The items of a list, which some versions of the CLI wrap in an object.
fn items<T: DeserializeOwned>(mut list: Value, name: &str) -> Result<Vec<T>> {
    let items = list.get_mut(name).map(Value::take).unwrap_or(list);
    serde_json::from_value(items)
        .with_context(|| format!("the Supabase CLI did not list the {name}"))
}

/// The platform's domain.
const PLATFORM: &str = ".supabase.co";

/// Whether a URL is one that the platform gave a project.
pub(crate) fn is_at_platform(url: &str) -> bool {
    url.ends_with(PLATFORM)
}

fn project_url(reference: &str, stored: Option<&str>) -> String {
    match stored {
        // The local stack's gateway is no domain of a hosted project: `supabase db push` stores what is under [db.vault].
        Some(custom) if !is_at_platform(custom) && custom != GATEWAY_URL => custom.to_owned(),
        _ => platform_url(reference),
    }
}

/// The URL that the platform gives a project.
pub(crate) fn platform_url(reference: &str) -> String {
    format!("https://{reference}{PLATFORM}")
}

/// The reference of the project that a database's URL leads to, directly or through the platform's
/// pooler.
pub(crate) fn reference_of(db_url: &str) -> Option<String> {
    let url = Url::parse(db_url).ok()?;
    let host = url.host_str()?;
    let direct = host
        .strip_suffix(PLATFORM)
        .and_then(|name| name.strip_prefix("db."));
    let pooled = url
        .username()
        .split_once('.')
        .filter(|_| host.ends_with(".pooler.supabase.com"));
    let reference = direct.or(pooled.map(|(_, reference)| reference));
    reference.map(str::to_owned)
}

impl Hosted {
    /// The project's URL: its custom domain if the Vault already has one, else the platform's.
    pub(crate) fn url(&self, stored: Option<&str>) -> String {
        project_url(&self.reference, stored)
    }

    fn arguments(&self, words: &[&str]) -> Vec<String> {
        let words = words.iter().map(|word| (*word).to_owned());
        words
            .chain(self.cli.project_option(&self.reference))
            .collect()
    }

    /// Runs a command on this project.
    async fn call(&self, words: &[&str]) -> Result<Value> {
        self.cli.json(&self.arguments(words)).await
    }

    /// Runs a command on this project that reads files from `dir`.
    async fn call_in(&self, dir: &PrivateTempDir, words: &[&str]) -> Result<()> {
        let arguments = self.arguments(words);
        self.cli
            .json_in(dir.path(), &arguments, None)
            .await
            .map(drop)
    }

    /// The names and digests of the functions' secrets. The platform does not show the secrets themselves.
    pub(crate) async fn secrets(&self) -> Result<BTreeMap<String, String>> {
        let secrets: Vec<ListedSecret> = items(self.call(&["secrets", "list"]).await?, "secrets")?;
        let secrets = secrets.into_iter();
        Ok(secrets
            .map(|secret| (secret.name, secret.value.unwrap_or_default()))
            .collect())
    }

    /// The digest of the functions' secret.
    pub(crate) async fn secret_digest(&self) -> Result<Option<String>> {
        Ok(self.secrets().await?.remove(SECRET))
    }

    /// Sets our secret for the functions and verifies the result.
    pub(crate) async fn set_secret(&self, value: &str) -> Result<()> {
        let dir = PrivateTempDir::create()?;
        dir.write(
            "supaqueue.env",
            format!("{SECRET}=\"{value}\"\n").as_bytes(),
        )?;
        self.call_in(&dir, &["secrets", "set", "--env-file", "supaqueue.env"])
            .await?;
        drop(dir);
        let remedy = "Run this again. If the error persists, look at Edge Functions → Secrets in the dashboard.";
        match self.secret_digest().await? {
            Some(shown) if is_digest(&shown) && shown != digest(value) => Err(user_error(
                format!("the Supabase CLI reported success, but {SECRET} still has another value"),
                remedy,
            )),
            Some(_) => Ok(()),
            None => Err(user_error(
                format!(
                    "the Supabase CLI reported success, but the project does not list {SECRET}"
                ),
                remedy,
            )),
        }
    }

    /// Removes our secret from the functions. Returns whether it existed.
    pub(crate) async fn unset_secret(&self) -> Result<bool> {
        if self.secret_digest().await?.is_none() {
            return Ok(false);
        }
        self.call(&["secrets", "unset", SECRET]).await?;
        match self.secret_digest().await? {
            None => Ok(true),
            Some(_) => Err(user_error(
                format!("the Supabase CLI reported success, but the project still lists {SECRET}"),
                "Run this again.",
            )),
        }
    }

    /// Our function as deployed.
    pub(crate) async fn function(&self) -> Result<Option<ListedFunction>> {
        let mut functions = self.functions().await?.into_iter();
        Ok(functions.find(|function| function.slug == FUNCTION))
    }

    /// All functions of the project.
    pub(crate) async fn functions(&self) -> Result<Vec<ListedFunction>> {
        items(self.call(&["functions", "list"]).await?, "functions")
    }

    /// Deploys our function and verifies that its version changed from `before`: the CLI reports
    /// success with a mere warning if it finds no files.
    pub(crate) async fn deploy(&self, before: Option<ListedFunction>) -> Result<()> {
        let dir = PrivateTempDir::create()?;
        for (name, bytes) in supaqueue_files::function_files() {
            dir.write(&format!("supabase/functions/{FUNCTION}/{name}"), bytes)?;
        }
        dir.write(
            "supabase/config.toml",
            b"[functions.supaqueue]\nverify_jwt = false\n",
        )?;
        self.call_in(
            &dir,
            &[
                "functions",
                "deploy",
                FUNCTION,
                "--use-api",
                "--no-verify-jwt",
            ],
        )
        .await?;
        match self.function().await? {
            Some(function) if function.verify_jwt == Some(true) => Err(user_error(
                "the function was deployed, but the platform still requires a JWT",
                "Turn off \"Enforce JWT verification\" for the function supaqueue in the dashboard, and run this again.",
            )),
            Some(function) if before.is_none_or(|before| before.version != function.version) => {
                Ok(())
            }
            _ => Err(user_error(
                "the Supabase CLI reported success, but the project does not list a new version of the function",
                "Run this again. If the error persists, run `supabase functions deploy` by hand and read its warnings.",
            )),
        }
    }

    /// Deletes our function. Returns whether it existed.
    pub(crate) async fn delete_function(&self) -> Result<bool> {
        if self.function().await?.is_none() {
            return Ok(false);
        }
        match self.call(&["functions", "delete", FUNCTION]).await {
            // Deleted by someone else in the meantime; verified below.
            Err(error) if error.to_string().contains("does not exist") => {}
            deleted => drop(deleted?),
        }
        match self.function().await? {
            None => Ok(true),
            Some(_) => Err(user_error(
                "the Supabase CLI reported success, but the project still lists the function",
                "Run this again. If the error persists, delete the function in the dashboard.",
            )),
        }
    }

    /// Whether the project has keys that are JWTs. The platform keeps them beside the newer `sb_` keys until they are turned
    /// off.
    pub(crate) async fn has_jwt_keys(&self) -> Result<bool> {
        Ok(self
            .keys()
            .await?
            .iter()
            .any(|key| match key.r#type.as_deref() {
                Some(kind) => kind == "legacy",
                None => true,
            }))
    }

    async fn keys(&self) -> Result<Vec<ListedKey>> {
        items(self.call(&["projects", "api-keys"]).await?, "keys")
    }

    /// The key for a gateway that requires one: the publishable key, or else the legacy anon key.
    pub(crate) async fn anon_key(&self) -> Result<String> {
        let keys = self.keys().await?;
        let publishable = |key: &&ListedKey| key.r#type.as_deref() == Some("publishable");
        let anon = |key: &&ListedKey| key.name.as_deref() == Some("anon");
        let found = keys
            .iter()
            .find(publishable)
            .or_else(|| keys.iter().find(anon))
            .and_then(|key| key.api_key.clone());
        found.filter(|key| !key.is_empty()).ok_or_else(|| {
            user_error(
                "the project has neither a publishable nor an anon key",
                "Create one in the dashboard, Settings → API keys, and run this again.",
            )
        })
    }
}

/// The digest that the platform shows in place of a secret.
pub(crate) fn digest(value: &str) -> String {
    Sha256::digest(value.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Whether a text has the form of such a digest. The platform might show something else.
fn is_digest(shown: &str) -> bool {
    shown.len() == 64 && shown.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_custom_domain_is_kept() {
        let platform = "https://abc.supabase.co";
        for (stored, want) in [
            (None, platform),
            (Some(platform), platform),
            (Some("https://other.supabase.co"), platform),
            (Some(GATEWAY_URL), platform),
            (Some("https://api.example.com"), "https://api.example.com"),
        ] {
            assert_eq!(project_url("abc", stored), want);
        }
    }

    #[test]
    fn the_url_of_a_database_at_the_platform_names_its_project() {
        for (url, want) in [
            (
                "postgresql://postgres:x@db.abc.supabase.co:5432/postgres",
                Some("abc"),
            ),
            (
                "postgres://postgres.abc@aws-0-eu-west-1.pooler.supabase.com:6543/postgres",
                Some("abc"),
            ),
            ("postgresql://postgres.abc@db.example.com/postgres", None),
            ("postgresql://postgres@127.0.0.1/postgres", None),
            ("host=db.abc.supabase.co", None),
        ] {
            assert_eq!(reference_of(url).as_deref(), want, "{url}");
        }
    }
}
