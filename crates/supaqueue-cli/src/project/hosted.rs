//! A hosted project, changed through the Supabase CLI.

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::cli::SupabaseCli;
use super::temporary::TemporaryFolder;
use crate::problem::Problem;

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

/// A project as `supabase projects list` shows it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Listed {
    /// Its reference, which newer versions of the CLI show as `ref`, too.
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) region: String,
    #[serde(default)]
    pub(crate) status: String,
}

/// A function as `supabase functions list` shows it.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ListedFunction {
    pub(crate) slug: String,
    #[serde(default)]
    pub(crate) version: u64,
    #[serde(default)]
    pub(crate) verify_jwt: Option<bool>,
}

/// All projects of the account: also the check that the login is good.
pub(crate) async fn projects(cli: &SupabaseCli) -> Result<Vec<Listed>> {
    let folder = TemporaryFolder::create()?;
    let mut answer = cli.json(&["projects", "list"], folder.path(), None).await?;
    let projects = match answer.get_mut("projects") {
        Some(projects) => projects.take(),
        None => answer,
    };
    Ok(serde_json::from_value(projects)?)
}

/// What the platform's own addresses end with.
const PLATFORM: &str = ".supabase.co";

impl Hosted {
    /// The project's address: a domain of its own that the Vault has already, else the platform's.
    pub(crate) fn address(&self, stored: Option<&str>) -> String {
        match stored {
            Some(own) if !own.ends_with(PLATFORM) => own.to_owned(),
            _ => format!("https://{}{PLATFORM}", self.reference),
        }
    }

    /// Whether an address is that of another project: a copied database brings it along.
    pub(crate) fn is_of_another(&self, address: &str) -> bool {
        address.ends_with(PLATFORM) && address != self.address(None)
    }

    /// Runs a command on this project.
    async fn call(&self, words: &[&str], folder: &TemporaryFolder) -> Result<Value> {
        let words = words.iter().map(|word| (*word).to_owned());
        let arguments: Vec<String> = words
            .chain(self.cli.project_option(&self.reference))
            .collect();
        self.cli.json(&arguments, folder.path(), None).await
    }

    /// The digest of the functions' secret: the platform does not tell the secret itself.
    pub(crate) async fn secret_digest(&self) -> Result<Option<String>> {
        let folder = TemporaryFolder::create()?;
        let answer = self.call(&["secrets", "list"], &folder).await?;
        let secrets = answer.get("secrets").and_then(Value::as_array);
        let Some(secrets) = secrets else {
            bail!("`supabase secrets list` gave an answer without secrets")
        };
        let ours = secrets
            .iter()
            .find(|secret| secret.get("name").and_then(Value::as_str) == Some(SECRET));
        Ok(ours.map(|secret| {
            secret
                .get("value")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        }))
    }

    /// Gives the functions our secret, and reads back that it is there.
    pub(crate) async fn set_secret(&self, value: &str) -> Result<()> {
        let folder = TemporaryFolder::create()?;
        folder.write(
            "supaqueue.env",
            format!("{SECRET}=\"{value}\"\n").as_bytes(),
        )?;
        self.call(&["secrets", "set", "--env-file", "supaqueue.env"], &folder)
            .await?;
        drop(folder);
        let remedy =
            "Run this again; if it stays so, look at the project's Edge Functions → Secrets.";
        match self.secret_digest().await? {
            Some(shown) if is_digest(&shown) && shown != digest(value) => Err(Problem::error(
                format!(
                    "the Supabase CLI said that it set {SECRET}, but the project still has another"
                ),
                remedy,
            )),
            Some(_) => Ok(()),
            None => Err(Problem::error(
                format!(
                    "the Supabase CLI said that it set {SECRET}, but the project does not list it"
                ),
                remedy,
            )),
        }
    }

    /// Takes our secret from the functions. False when there was none.
    pub(crate) async fn unset_secret(&self) -> Result<bool> {
        if self.secret_digest().await?.is_none() {
            return Ok(false);
        }
        let folder = TemporaryFolder::create()?;
        self.call(&["secrets", "unset", SECRET], &folder).await?;
        match self.secret_digest().await? {
            None => Ok(true),
            Some(_) => Err(Problem::error(
                format!(
                    "the Supabase CLI said that it removed {SECRET}, but the project still lists it"
                ),
                "Run this again.",
            )),
        }
    }

    /// Our function, if it is deployed.
    pub(crate) async fn function(&self) -> Result<Option<ListedFunction>> {
        let folder = TemporaryFolder::create()?;
        let mut answer = self.call(&["functions", "list"], &folder).await?;
        let functions = answer
            .get_mut("functions")
            .map(Value::take)
            .unwrap_or(answer);
        let functions: Vec<ListedFunction> = serde_json::from_value(functions)?;
        Ok(functions
            .into_iter()
            .find(|function| function.slug == FUNCTION))
    }

    /// Deploys our function, and reads back that it is there. The CLI ends well, with a warning,
    /// where it found no files. `before` is the one that was there.
    pub(crate) async fn deploy(&self, before: Option<ListedFunction>) -> Result<()> {
        let folder = TemporaryFolder::create()?;
        for (name, bytes) in supaqueue_files::function_files() {
            super::temporary::write_private(
                &folder
                    .path()
                    .join("supabase/functions")
                    .join(FUNCTION)
                    .join(name),
                bytes,
            )?;
        }
        super::temporary::write_private(
            &folder.path().join("supabase/config.toml"),
            b"[functions.supaqueue]\nverify_jwt = false\n",
        )?;
        self.call(
            &[
                "functions",
                "deploy",
                FUNCTION,
                "--use-api",
                "--no-verify-jwt",
            ],
            &folder,
        )
        .await?;
        let after = self.function().await?;
        match after {
            Some(function) if function.verify_jwt == Some(true) => Err(Problem::error(
                "the function was deployed, but the platform still asks its callers for a JWT",
                "Turn off \"Enforce JWT verification\" of the function supaqueue in the dashboard, then run this again.",
            )),
            Some(function) if before.is_none_or(|before| before.version != function.version) => {
                Ok(())
            }
            _ => Err(Problem::error(
                "the Supabase CLI said that it deployed the function, but the project does not list a new version of it",
                "Run this again; if it stays so, run `supabase functions deploy` by hand and read its warnings.",
            )),
        }
    }

    /// Deletes our function. False when there was none.
    pub(crate) async fn delete_function(&self) -> Result<bool> {
        if self.function().await?.is_none() {
            return Ok(false);
        }
        let folder = TemporaryFolder::create()?;
        match self.call(&["functions", "delete", FUNCTION], &folder).await {
            // Somebody else was faster; what is there now decides.
            Err(error) if error.to_string().contains("does not exist") => {}
            answer => drop(answer?),
        }
        match self.function().await? {
            None => Ok(true),
            Some(_) => Err(Problem::error(
                "the Supabase CLI said that the function is gone, but the project still lists it",
                "Run this again; if it stays so, delete the function in the dashboard.",
            )),
        }
    }

    /// The key that a gateway may ask for: the publishable one, or else the legacy one.
    pub(crate) async fn anon_key(&self) -> Result<String> {
        let folder = TemporaryFolder::create()?;
        let answer = self.call(&["projects", "api-keys"], &folder).await?;
        let keys = answer
            .get("keys")
            .or(Some(&answer))
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        let text = |key: &Value, name: &str| {
            key.get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let found = keys
            .iter()
            .find(|key| text(key, "type") == "publishable")
            .or_else(|| keys.iter().find(|key| text(key, "name") == "anon"))
            .map(|key| text(key, "api_key"));
        found.filter(|key| !key.is_empty()).ok_or_else(|| {
            Problem::error(
                "the project has neither a publishable nor an anon key",
                "Make one in the dashboard, Settings → API keys, then run this again.",
            )
        })
    }
}

/// The digest by which the platform shows a secret.
pub(crate) fn digest(value: &str) -> String {
    Sha256::digest(value.as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Whether what the platform shows of a secret is such a digest, and not something else of it.
fn is_digest(shown: &str) -> bool {
    shown.len() == 64 && shown.bytes().all(|byte| byte.is_ascii_hexdigit())
}
