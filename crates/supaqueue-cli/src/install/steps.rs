//! What each step of an installation does.

use super::embedded::embedded_function;
use crate::problem::Problem;
use crate::project::hosted::{self, ListedFunction};
use crate::project::local;
use crate::project::probe;
use crate::project::state;
use crate::project::{Place, Project};
use anyhow::{Context, Result};
use supaqueue_files::{Change, SCHEDULE_TICK, State, vault};

/// An installation under way.
pub(super) struct Installation {
    pub(super) project: Project,
    pub(super) state: State,
    pub(super) address: String,
    pub(super) anon_key: Option<String>,
    pub(super) is_verified: bool,
}

impl Installation {
    pub(super) fn new(project: Project) -> Self {
        Self {
            project,
            state: State::default(),
            address: String::new(),
            anon_key: None,
            is_verified: false,
        }
    }

    /// Makes a secret, or keeps the one that is there.
    pub(super) async fn secret(&mut self) -> Result<((), String)> {
        let database = &self.project.database;
        self.state = state::read(database).await?;
        let made = state::create_extensions(database, &self.state).await?;
        let made = if made.is_empty() {
            String::new()
        } else {
            format!("; created {}", made.join(", "))
        };
        if self.state.secret.is_some() {
            let rotating = if self.state.is_rotating() {
                ", a rotation is not finished: run `supaqueue rotate-secret`"
            } else {
                ""
            };
            return Ok(((), format!("kept the one in the Vault{rotating}{made}")));
        }
        self.state = state::make_next_secret(database).await?;
        Ok(((), format!("32 random bytes, made in the Vault{made}")))
    }

    /// Gives the functions the secret.
    pub(super) async fn functions_secret(&mut self) -> Result<((), &'static str)> {
        let value = self.state.environment();
        if value.is_empty() {
            return Err(Problem::error(
                "the Vault's supaqueue_secret is not a key of the form whsec_<base64>",
                "Run `supaqueue rotate-secret`, then run this again.",
            ));
        }
        let detail = match &self.project.place {
            Place::Hosted(hosted) => match hosted.secret_digest().await? {
                Some(digest) if digest == hosted::digest(&value) => "the functions have it already",
                _ => {
                    hosted.set_secret(&value).await?;
                    "stored as SUPAQUEUE_SECRET"
                }
            },
            Place::Local(local) if local.secret().as_deref() == Some(&value) => {
                "the file for the functions has it already"
            }
            Place::Local(local) => {
                local.set_secret(&value)?;
                "written to supabase/.temp/supaqueue.env"
            }
            Place::Direct => "left to you, see below",
        };
        Ok(((), detail))
    }

    /// Finds the project's address out, and its anon key where a gateway asks for one.
    pub(super) async fn address(
        &mut self,
        url: Option<&str>,
        anon_key: Option<&str>,
    ) -> Result<((), String)> {
        let address = match (&self.project.place, url) {
            (_, Some(url)) => url.to_owned(),
            (Place::Hosted(hosted), None) => hosted.address(self.state.url.as_deref()),
            (Place::Local(_), None) => local::ADDRESS.to_owned(),
            (Place::Direct, None) => self.state.url.clone().ok_or_else(|| {
                Problem::error(
                    "the project's address is not known",
                    "Name it with --project-url: the gateway's address as the database reaches it, without a path.",
                )
            })?,
        };
        self.address = state::check_address(&address)?;
        self.anon_key = match (anon_key, &self.project.place) {
            (Some(""), Place::Hosted(hosted)) => Some(hosted.anon_key().await?),
            (Some(""), _) => {
                return Err(Problem::error(
                    "the anon key is not known",
                    "Give it after --anon-key; it is public.",
                ));
            }
            (Some(key), _) => Some(key.to_owned()),
            (None, _) => self.state.anon_key.clone(),
        };
        let key = if self.anon_key.is_some() {
            "with an anon key"
        } else {
            "no anon key: the gateway asks for none"
        };
        Ok(((), format!("{}, {key}", self.address)))
    }

    /// Brings the schema, with the add-ons that the database has, to the version of this program.
    pub(super) async fn migrations(&mut self) -> Result<((), String)> {
        let upgrade = supaqueue_files::upgrade(&self.state, None).map_err(|error| {
            Problem::error(
                error.to_string(),
                "Update the program supaqueue, then run this again. Nothing was changed in the schema.",
            )
        })?;
        for transaction in &upgrade.transactions {
            let applied = self.project.database.run(transaction).await;
            applied.context("cannot apply the schema")?;
        }
        let newest = supaqueue_files::core().newest();
        let changes: Vec<String> = upgrade.changes.iter().map(describe).collect();
        Ok((
            (),
            match changes.as_slice() {
                [] if upgrade.transactions.is_empty() => {
                    format!("the schema is at version {newest} already")
                }
                [] => format!("the schema is at version {newest} again"),
                changes => changes.join("; "),
            },
        ))
    }

    /// Puts secret and address in force.
    pub(super) async fn vault(&mut self) -> Result<((), &'static str)> {
        let mut statements = String::new();
        if self.state.secret.is_none() {
            statements += vault::PROMOTE_NEXT_SECRET;
        }
        if self.state.url.as_ref() != Some(&self.address) {
            statements += &vault::store_url(&self.address);
        }
        if let Some(key) = &self.anon_key
            && self.state.anon_key.as_ref() != Some(key)
        {
            statements += &vault::store_anon_key(key);
        }
        if statements.is_empty() {
            return Ok(((), "secret and address are there already"));
        }
        self.project.database.run(&statements).await?;
        Ok(((), "secret and address are in force"))
    }

    /// Deploys the function, unless the one that answers is the same.
    pub(super) async fn function(&mut self) -> Result<((), String)> {
        match &self.project.place {
            Place::Hosted(hosted) => {
                let before = hosted.function().await?;
                if self.is_the_same(before.as_ref()).await? {
                    return Ok(((), "the same is deployed already".into()));
                }
                hosted.deploy(before).await?;
                Ok(((), "deployed".into()))
            }
            Place::Local(local) => match local.folder.write_function()?.len() {
                0 => Ok((
                    (),
                    "its files are in supabase/functions/supaqueue already".into(),
                )),
                count => Ok((
                    (),
                    format!(
                        "{count} files written to supabase/functions/supaqueue and config.toml"
                    ),
                )),
            },
            Place::Direct => Ok(((), "left to you, see below".into())),
        }
    }

    async fn is_the_same(&self, listed: Option<&ListedFunction>) -> Result<bool> {
        if listed.is_none_or(|function| function.verify_jwt == Some(true)) {
            return Ok(false);
        }
        let probes = probe::probe(&self.project.database).await?;
        Ok(probes
            .health
            .and_then(|answer| answer.health())
            .is_some_and(|health| health == embedded_function()))
    }

    /// Has pg_cron run the tick.
    pub(super) async fn tick(&mut self) -> Result<((), String)> {
        let database = &self.project.database;
        let schedule: Option<String> = database.query(SCHEDULE_TICK).await?;
        let before = self.state.tick.as_ref().map(|tick| tick.schedule.clone());
        Ok(((), match schedule {
            Some(schedule) if before.as_ref() == Some(&schedule) => format!("scheduled already: {schedule}"),
            Some(schedule) => format!("scheduled: {schedule}"),
            None => "not scheduled: there is no pg_cron here, so jobs that wait go on only when their queue is next used".into(),
        }))
    }
}

fn describe(change: &Change) -> String {
    let what = match change.part {
        "supaqueue" => "the schema".to_owned(),
        add_on => format!("the add-on {add_on}"),
    };
    match change.from {
        0 => format!("{what} is at version {}", change.to),
        from => format!("{what} went from version {from} to {}", change.to),
    }
}
