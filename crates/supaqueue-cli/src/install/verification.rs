//! The last step of an installation: does it work?

use anyhow::Result;

use super::embedded::embedded_function;
use super::steps::Installation;
use crate::problem::Problem;
use crate::project::Place;
use crate::project::probe;
use crate::project::state;

impl Installation {
    /// Reads back what was done, and makes one signed round trip.
    pub(super) async fn verify(&mut self) -> Result<((), String)> {
        let state = state::read(&self.project.database).await?;
        if state.version() != Some(supaqueue_files::core().newest())
            || state.secret.is_none()
            || state.url.as_ref() != Some(&self.address)
        {
            return Err(Problem::error(
                "what was stored in the database cannot be read back",
                "Somebody may have changed it at the same time: run this again.",
            ));
        }
        if !matches!(self.project.place, Place::Hosted(_)) && !self.answers().await? {
            return Ok((
                (),
                "schema and Vault are right; the function does not answer yet, see below".into(),
            ));
        }
        if let Place::Hosted(hosted) = &self.project.place {
            let (secret, function) = (hosted.secret_digest().await?, hosted.function().await?);
            if secret.is_none() || function.is_none() {
                return Err(Problem::error(
                    "the project does not list the secret or the function that was just stored",
                    "Somebody may have removed it at the same time: run this again.",
                ));
            }
        }
        let outcome = probe::self_test(&self.project.database).await?;
        if !outcome.is_successful() {
            return Err(Problem::error(
                format!(
                    "everything is in place, but the self-test did not come back: {}",
                    outcome.reason()
                ),
                "`supaqueue doctor` names what is wrong; running this again is fine.",
            ));
        }
        if outcome
            .health()
            .is_some_and(|health| health != embedded_function())
            && matches!(self.project.place, Place::Hosted(_))
        {
            return Err(Problem::error(
                "the self-test came back, but from another version of the function than was deployed",
                "The platform may need a moment to change over: run this again.",
            ));
        }
        self.is_verified = true;
        Ok((
            (),
            "version, secret and function read back; a self-test job made the round trip".into(),
        ))
    }

    async fn answers(&self) -> Result<bool> {
        let probes = probe::probe(&self.project.database).await?;
        Ok(probes.signed.is_some_and(|answer| answer.is_accepted()))
    }

    /// What the program cannot do here.
    pub(super) fn left_to_do(&self) -> Vec<String> {
        if self.is_verified {
            return Vec::new();
        }
        match &self.project.place {
            Place::Hosted(_) => Vec::new(),
            Place::Local(_) => vec![
                "serve the functions with the secret: `supabase functions serve --env-file supabase/.temp/supaqueue.env`".into(),
                "then check everything: `supaqueue doctor --local`".into(),
            ],
            Place::Direct => vec![
                "give the functions' environment SUPAQUEUE_SECRET; read its value with: select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_secret'".into(),
                "deploy the supaqueue function, callable without a JWT: `supaqueue install --write-function` writes its files".into(),
                "then check everything: `supaqueue doctor --db-url …`".into(),
            ],
        }
    }
}
