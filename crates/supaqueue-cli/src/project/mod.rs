//! The project that a command works on: hosted at Supabase, the local Supabase stack, or any Postgres.

pub(crate) mod cli;
mod cli_error;
pub(crate) mod database;
mod direct;
pub(crate) mod hosted;
pub(crate) mod local;
pub(crate) mod probe;
pub(crate) mod state;
mod temporary;
pub(crate) mod working_folder;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::problem::Problem;
use crate::prompt;
use cli::SupabaseCli;
use database::Database;
use hosted::{Hosted, Listed};
use local::Local;
use working_folder::WorkingFolder;

/// Which project a command works on. Without any option: a hosted one, the linked one or one to pick.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Target {
    /// The hosted project
    #[arg(long, value_name = "REF", conflicts_with_all = ["db_url", "local"])]
    pub(crate) project_ref: Option<String>,
    /// The Postgres of a self-hosted project; a password can be in PGPASSWORD instead
    #[arg(long, value_name = "URL", conflicts_with = "local")]
    pub(crate) db_url: Option<String>,
    /// The local Supabase stack that `supabase start` started
    #[arg(long)]
    pub(crate) local: bool,
    /// The folder that holds the project's `supabase` folder; otherwise this one or one above it
    #[arg(long, value_name = "DIR")]
    pub(crate) workdir: Option<PathBuf>,
    /// How long one call of the Supabase CLI may take
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
}

/// How the project's parts outside the database are reached.
pub(crate) enum Place {
    /// Through the Supabase CLI.
    Hosted(Hosted),
    /// Through the files that the local stack serves.
    Local(Local),
    /// Not at all: only the database is known.
    Direct,
}

/// A project.
pub(crate) struct Project {
    pub(crate) place: Place,
    pub(crate) database: Database,
}

impl Target {
    fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// The options with which the project was named.
    pub(crate) fn options(&self) -> String {
        match (&self.project_ref, &self.db_url) {
            (Some(reference), _) => format!(" --project-ref {reference}"),
            // It may hold a password.
            (None, Some(_)) => " --db-url …".into(),
            (None, None) if self.local => " --local".into(),
            (None, None) => String::new(),
        }
    }

    /// The user's `supabase` folder, if there is one.
    pub(crate) fn working_folder(&self) -> Option<WorkingFolder> {
        WorkingFolder::find(self.workdir.as_deref())
    }

    /// Checks tools and login: everything that needs no project yet.
    pub(crate) async fn check(&self) -> Result<(Checked, String)> {
        if let Some(url) = &self.db_url {
            let client = direct::connect(url, self.limit()).await?;
            return Ok((
                Checked::Direct(Database::Direct(client)),
                "connected to the database".into(),
            ));
        }
        let cli = SupabaseCli::find(self.limit(), self.workdir.as_deref()).await?;
        if self.local {
            let folder = self.working_folder().ok_or_else(working_folder::missing)?;
            let local = Local::read(&cli, folder).await?;
            let database = Database::Direct(direct::connect(&local.db_url, self.limit()).await?);
            return Ok((
                Checked::Local(local, database),
                format!("Supabase CLI {}, the local stack runs", cli.version),
            ));
        }
        let projects = hosted::projects(&cli).await?;
        let detail = format!("Supabase CLI {}, {} projects", cli.version, projects.len());
        Ok((Checked::Hosted(cli, projects), detail))
    }

    /// Chooses the project and verifies that it is there and up.
    pub(crate) async fn choose(&self, checked: Checked) -> Result<(Project, String)> {
        let (cli, projects) = match checked {
            Checked::Direct(database) => {
                return Ok((
                    Project {
                        place: Place::Direct,
                        database,
                    },
                    "the database of --db-url".into(),
                ));
            }
            Checked::Local(local, database) => {
                let detail = format!("the local stack at {}", local.api_url);
                return Ok((
                    Project {
                        place: Place::Local(local),
                        database,
                    },
                    detail,
                ));
            }
            Checked::Hosted(cli, projects) => (cli, projects),
        };
        let listed = self.pick(&projects).await?;
        if !matches!(
            listed.status.as_str(),
            "" | "ACTIVE_HEALTHY" | "ACTIVE_UNHEALTHY"
        ) {
            return Err(Problem::error(
                format!(
                    "the project {} ({}) is not up: {}",
                    listed.name, listed.id, listed.status
                ),
                "Restore it in the dashboard, or wait until it is up; then run this again.",
            ));
        }
        let detail = format!("{} ({})", listed.name, listed.id);
        let database = Database::Hosted {
            cli: cli.clone(),
            reference: listed.id.clone(),
        };
        let hosted = Hosted {
            cli,
            reference: listed.id.clone(),
            name: listed.name.clone(),
        };
        Ok((
            Project {
                place: Place::Hosted(hosted),
                database,
            },
            detail,
        ))
    }

    async fn pick<'a>(&self, projects: &'a [Listed]) -> Result<&'a Listed> {
        let linked = || {
            std::env::var("SUPABASE_PROJECT_ID")
                .ok()
                .or_else(|| self.working_folder()?.linked_project())
        };
        if let Some(reference) = self.project_ref.clone().or_else(linked) {
            return projects.iter().find(|project| project.id == reference).ok_or_else(|| {
                Problem::error(
                    format!("this account has no project {reference}"),
                    "See `supabase projects list`, and whether you are logged in with the right account.",
                )
            });
        }
        if projects.is_empty() {
            return Err(Problem::error(
                "this account has no projects",
                "Make one at https://supabase.com/dashboard.",
            ));
        }
        if !prompt::is_terminal() {
            return Err(Problem::error(
                "no project is named",
                "Name it with --project-ref (see `supabase projects list`), or link this folder with `supabase link`.",
            ));
        }
        let names: Vec<String> = projects
            .iter()
            .map(|p| format!("{}  {}  {}", p.id, p.name, p.region))
            .collect();
        Ok(&projects[prompt::pick("Which project?", &names).await?])
    }
}

/// What was found out before the project is known.
pub(crate) enum Checked {
    /// The account's projects.
    Hosted(SupabaseCli, Vec<Listed>),
    /// The local stack.
    Local(Local, Database),
    /// A connection.
    Direct(Database),
}

impl Project {
    /// The project's name, for a question.
    pub(crate) fn name(&self) -> String {
        match &self.place {
            Place::Hosted(hosted) => format!("{} ({})", hosted.name, hosted.reference),
            Place::Local(_) => "the local stack".into(),
            Place::Direct => "the database of --db-url".into(),
        }
    }

    /// The options with which this project is named again.
    pub(crate) fn options(&self) -> String {
        match &self.place {
            Place::Hosted(hosted) => format!(" --project-ref {}", hosted.reference),
            Place::Local(local) => format!(" --local{}", local.folder.option()),
            Place::Direct => " --db-url …".into(),
        }
    }
}
