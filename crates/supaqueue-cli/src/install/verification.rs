//! The last step of an installation: checks that it works.

use anyhow::Result;

use super::embedded::embedded_function;
use super::steps::Installation;
use crate::command_line::CommandLine;
use crate::project::Deployment;
use crate::project::local::{ONESHOT, PER_WORKER};
use crate::project::probe::{self, SelfTest};
use crate::user_error::user_error;

impl Installation {
    /// Reads back what was stored, and runs a self-test.
    pub(super) async fn verify(&mut self) -> Result<&'static str> {
        let state = self.project.database.state().await?;
        if state.version() != Some(supaqueue_files::core().newest())
            || state.secret.is_none()
            || state.url.as_ref() != Some(&self.url)
        {
            return Err(user_error(
                "the database does not contain what was just stored",
                "It may have been changed at the same time: run this again.",
            ));
        }
        match &self.project.deployment {
            Deployment::Hosted(hosted) => {
                let (secret, function) = (hosted.secret_digest().await?, hosted.function().await?);
                if secret.is_none() || function.is_none() {
                    return Err(user_error(
                        "the project does not list the secret or the function that was just stored",
                        "It may have been removed at the same time: run this again.",
                    ));
                }
            }
            Deployment::Local(_) | Deployment::DatabaseOnly => {
                let probes = probe::probe(&self.project.database).await?;
                if !probes.signed.is_some_and(|response| response.is_accepted()) {
                    return Ok(
                        "schema and Vault verified; the function does not respond yet, see below",
                    );
                }
            }
        }
        let outcome = SelfTest::new().run(&self.project.database).await?;
        if !outcome.is_successful() {
            return Err(user_error(
                format!(
                    "everything is installed, but the self-test failed: {}",
                    outcome.reason()
                ),
                format!(
                    "Run `{}` for the cause. It is safe to run this again.",
                    self.project.command("doctor")
                ),
            ));
        }
        if outcome
            .health()
            .is_some_and(|health| health != embedded_function())
            && matches!(self.project.deployment, Deployment::Hosted(_))
        {
            return Err(user_error(
                "the self-test reached another version of the function than the one just deployed",
                "The platform may need a moment to switch versions: run this again.",
            ));
        }
        self.is_verified = true;
        Ok("version, secret and function verified; a self-test job completed its round trip")
    }

    /// What remains for the user to do.
    pub(super) fn next_steps(&self) -> Vec<String> {
        let mut steps = Vec::new();
        if let Deployment::Local(local) = &self.project.deployment
            && let Some(place) = local.supabase_dir.oneshot_policy()
        {
            steps.push(format!("correct {place}: {ONESHOT}. {PER_WORKER}"));
        }
        if self.is_verified {
            return steps;
        }
        match &self.project.deployment {
            Deployment::Hosted(_) => return steps,
            Deployment::Local(local) => {
                steps.push(format!("serve the functions with the secret: `{}`", local.serve()));
            }
            Deployment::DatabaseOnly => steps.extend([
                "set SUPAQUEUE_SECRET in the functions' environment to the result of: select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_secret'".to_owned(),
                format!(
                    "deploy the supaqueue function with JWT verification off: `{}` writes its files",
                    CommandLine::supaqueue("install --write-function")
                ),
            ]),
        }
        let doctor = self.project.command("doctor");
        steps.push(format!("check the installation: `{doctor}`"));
        steps
    }
}
