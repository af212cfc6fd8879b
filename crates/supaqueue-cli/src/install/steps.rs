//! The steps of an installation.

use anyhow::{Context, Result};
use supaqueue_files::{Change, DatabaseState, SCHEDULE_TICK, vault};

use super::Arguments;
use super::embedded::embedded_function;
use super::extensions;
use crate::command_line::CommandLine;
use crate::output::{count, errln};
use crate::project::hosted::{self, ListedFunction};
use crate::project::probe;
use crate::project::vault::{check_project_url, create_next_secret};
use crate::project::{Deployment, Project};
use crate::prompt;
use crate::user_error::user_error;

/// An installation in progress. Each step returns a description of its outcome.
pub(super) struct Installation {
    pub(super) project: Project,
    pub(super) state: DatabaseState,
    /// The project's URL.
    pub(super) url: String,
    pub(super) anon_key: Option<String>,
    pub(super) is_verified: bool,
}

impl Installation {
    pub(super) async fn new(project: Project) -> Result<Self> {
        Ok(Self {
            state: project.database.state().await?,
            project,
            url: String::new(),
            anon_key: None,
            is_verified: false,
        })
    }

    /// Asks before jobs that another project may be running run here, too: a copy of a database has the
    /// original's jobs and URL.
    pub(super) async fn check_jobs(&self, arguments: &Arguments) -> Result<()> {
        let other = match (&self.state.url, &arguments.project_url) {
            (Some(stored), Some(url)) if *stored == check_project_url(url)? => return Ok(()),
            (Some(stored), None) if *stored == self.project.url(&self.state)? => return Ok(()),
            (Some(stored), _) => stored,
            (None, _) if self.state.unreadable.contains_key("supaqueue_url") => {
                "a project whose URL the Vault cannot decrypt"
            }
            (None, _) => return Ok(()),
        };
        if arguments.take_over_jobs {
            return Ok(());
        }
        let jobs = match self.state.living_jobs {
            0 => None,
            1 => Some("a job that has not ended".to_owned()),
            jobs => Some(format!("{jobs} or more jobs that have not ended")),
        };
        let schedules = match self.state.schedules {
            0 => None,
            1 => Some("a schedule".to_owned()),
            schedules => Some(format!("{schedules} schedules")),
        };
        let found: Vec<_> = jobs.into_iter().chain(schedules).collect();
        if found.is_empty() {
            return Ok(());
        }
        let message = format!(
            "the database has {}, and {other} may run them as well: it may be a copy of that project's",
            found.join(" and ")
        );
        if prompt::is_interactive() {
            errln!("{message}.");
            return prompt::confirm("Run them here?").await;
        }
        Err(user_error(
            message,
            "Nothing was changed. If they must not run here, cancel the jobs and pause the schedules: update supaqueue.job set status = 'cancelled' where status in ('pending', 'waiting', 'in_progress'); update supaqueue.schedule set is_paused = true; To run them here, run this again with --take-over-jobs.",
        ))
    }

    fn rotate(&self) -> CommandLine {
        self.project.command("rotate-secret")
    }

    /// Creates missing extensions, and a secret unless there is one.
    pub(super) async fn secret(&mut self) -> Result<String> {
        let database = &self.project.database;
        let created = extensions::create_missing(database, &self.state).await?;
        let created = if created.is_empty() {
            String::new()
        } else {
            format!("; created {}", created.join(", "))
        };
        if self.state.secret.is_some() {
            let rotating = match self.state.is_rotating() {
                true => format!("; a rotation is unfinished: run `{}`", self.rotate()),
                false => String::new(),
            };
            return Ok(format!("kept the one in the Vault{rotating}{created}"));
        }
        let unreadable = match self.state.unreadable.keys().next() {
            Some(_) => " to replace what it cannot decrypt",
            None => "",
        };
        self.state = create_next_secret(database, &self.state).await?;
        Ok(format!(
            "generated 32 random bytes in the Vault{unreadable}{created}"
        ))
    }

    /// Gives the functions the secret.
    pub(super) async fn functions_secret(&mut self) -> Result<&'static str> {
        let value = self.state.functions_secret();
        if value.is_empty() {
            return Err(user_error(
                "the Vault's supaqueue_secret is not a key of the form whsec_<base64>",
                format!("Run `{}`, and then run this again.", self.rotate()),
            ));
        }
        Ok(match &self.project.deployment {
            Deployment::Hosted(hosted) => match hosted.secret_digest().await? {
                Some(digest) if digest == hosted::digest(&value) => "the functions already have it",
                _ => {
                    hosted.set_secret(&value).await?;
                    "stored as SUPAQUEUE_SECRET"
                }
            },
            Deployment::Local(local) => {
                let before = local.secret();
                // Also if it is the same, as others may be able to read the file.
                local.set_secret(&value)?;
                match before == Some(value) {
                    true => "supabase/.temp/supaqueue.env already has it",
                    false => "written to supabase/.temp/supaqueue.env",
                }
            }
            Deployment::DatabaseOnly => "left to you, see below",
        })
    }

    /// Determines the project's URL, and its anon key if the gateway requires one.
    pub(super) async fn project_url(
        &mut self,
        url: Option<&str>,
        anon_key: Option<&str>,
    ) -> Result<String> {
        let url = match url {
            Some(url) => url.to_owned(),
            None => self.project.url(&self.state)?,
        };
        self.url = check_project_url(&url)?;
        // One that cannot be decrypted is replaced.
        let is_needed = self.state.unreadable.contains_key("supaqueue_anon_key");
        self.anon_key = match (
            anon_key.or(is_needed.then_some("")),
            &self.project.deployment,
        ) {
            (Some(""), Deployment::Hosted(hosted)) => Some(hosted.anon_key().await?),
            (Some(""), _) => {
                return Err(user_error(
                    "the anon key is unknown",
                    "Pass it after --anon-key; it is public.",
                ));
            }
            (Some(key), _) => Some(key.to_owned()),
            (None, _) => self.state.anon_key.clone(),
        };
        let key = if self.anon_key.is_some() {
            "with an anon key"
        } else {
            "no anon key: the gateway requires none"
        };
        Ok(format!("{}, {key}", self.url))
    }

    /// Updates the schema and the installed add-ons to this program's versions.
    pub(super) async fn migrations(&mut self) -> Result<String> {
        let upgrade = supaqueue_files::upgrade(&self.state, None).map_err(|error| {
            user_error(
                error.to_string(),
                "Update `supaqueue` and run this again. The schema was not changed.",
            )
        })?;
        for transaction in &upgrade.transactions {
            let applied = self.project.database.run(transaction).await;
            applied.context("cannot apply the schema")?;
        }
        let newest = supaqueue_files::core().newest();
        let changes: Vec<String> = upgrade.changes.iter().map(describe).collect();
        Ok(match changes.as_slice() {
            [] if upgrade.transactions.is_empty() => {
                format!("schema version {newest}, already up to date")
            }
            [] => format!("schema version {newest}, completed"),
            changes => changes.join("; "),
        })
    }

    /// Makes the database use the secret and the URL.
    pub(super) async fn vault(&mut self) -> Result<&'static str> {
        let mut statements = String::new();
        if self.state.secret.is_none() {
            statements += vault::PROMOTE_NEXT_SECRET;
        }
        if self.state.url.as_ref() != Some(&self.url) {
            statements += &vault::upsert_url(&self.url);
        }
        if let Some(key) = &self.anon_key
            && self.state.anon_key.as_ref() != Some(key)
        {
            statements += &vault::upsert_anon_key(key);
        }
        if statements.is_empty() {
            return Ok("secret and URL are up to date");
        }
        self.project.database.run(&statements).await?;
        Ok("secret and URL are active")
    }

    /// Deploys the function, unless it is up to date.
    pub(super) async fn function(&mut self) -> Result<String> {
        Ok(match &self.project.deployment {
            Deployment::Hosted(hosted) => {
                let before = hosted.function().await?;
                if self.is_up_to_date(before.as_ref()).await? {
                    "already up to date".into()
                } else {
                    hosted.deploy(before).await?;
                    "deployed".into()
                }
            }
            Deployment::Local(local) => match local.supabase_dir.write_function()?.len() {
                0 => "supabase/functions/supaqueue is already up to date".into(),
                written => format!(
                    "{} written to supabase/functions/supaqueue and config.toml",
                    count(written, "file")
                ),
            },
            Deployment::DatabaseOnly => "left to you, see below".into(),
        })
    }

    async fn is_up_to_date(&self, listed: Option<&ListedFunction>) -> Result<bool> {
        if listed.is_none_or(|function| function.verify_jwt == Some(true)) {
            return Ok(false);
        }
        let probes = probe::probe(&self.project.database).await?;
        let health = probes.health.and_then(|response| response.health());
        Ok(health.is_some_and(|health| health == embedded_function()))
    }

    /// Schedules the tick with pg_cron.
    pub(super) async fn tick(&mut self) -> Result<String> {
        let database = &self.project.database;
        let schedule: Option<String> = database.query(SCHEDULE_TICK).await?;
        let before = self.state.tick.as_ref();
        let before = before.filter(|tick| tick.active && tick.is_tick());
        Ok(match schedule.as_deref() {
            Some(schedule) if before.is_some_and(|tick| tick.schedule == schedule) => {
                format!("already scheduled: {schedule}")
            }
            Some(schedule) => format!("scheduled: {schedule}"),
            None => "not scheduled, as pg_cron is missing: retries and scheduled jobs start only when their queue is next used".into(),
        })
    }
}

fn describe(change: &Change) -> String {
    let part = match change.part {
        "supaqueue" => "schema".to_owned(),
        add_on => format!("add-on {add_on}"),
    };
    match change.from {
        0 => format!("{part} version {}", change.to),
        from => format!("upgraded the {part} from version {from} to {}", change.to),
    }
}
