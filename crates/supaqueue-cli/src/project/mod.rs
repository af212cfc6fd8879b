//! The project that a command works on: one hosted by Supabase, the local Supabase stack, or any
//! Postgres.

mod atomic_file;
pub(crate) mod database;
pub(crate) mod file_set;
pub(crate) mod hosted;
pub(crate) mod local;
mod postgres;
mod private_temp_dir;
pub(crate) mod probe;
mod remedy;
pub(crate) mod supabase_cli;
pub(crate) mod supabase_dir;
pub(crate) mod vault;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use postgres_protocol::escape::escape_literal;
use serde::de::DeserializeOwned;
use supaqueue_files::DatabaseState;

use crate::command_line::CommandLine;
use crate::output::{count, spinner};
use crate::prompt;
use crate::steps::Steps;
use crate::user_error::user_error;
use database::Database;
use hosted::{Hosted, ListedProject};
use local::{GATEWAY_URL, Local};
use postgres::{Connection, TlsOptions, place, without_password};
use supabase_cli::SupabaseCli;
use supabase_dir::SupabaseDir;

/// The default of `--timeout`, in seconds.
const DEFAULT_TIMEOUT: u64 = 120;

/// The options that select a project. Without any of them: the linked project, or one chosen from
/// the account's.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct ProjectOptions {
    /// Use this hosted project [default: the linked one, or ask]
    #[arg(long, value_name = "REF", conflicts_with_all = ["db_url", "local"])]
    pub(crate) project_ref: Option<String>,
    /// Use the Postgres of a self-hosted project; the password can be in PGPASSWORD
    #[arg(long, value_name = "URL", conflicts_with = "local")]
    pub(crate) db_url: Option<String>,
    /// Use the local Supabase stack (`supabase start`)
    #[arg(long)]
    pub(crate) local: bool,
    /// The folder that contains the project's `supabase` folder [default: this folder or a parent]
    #[arg(long, value_name = "DIR")]
    pub(crate) workdir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) tls: TlsOptions,
    /// The time limit for each call of the Supabase CLI, each statement, for connecting, and, up to 30 s, for answers through pg_net
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_TIMEOUT, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) timeout: u64,
}

/// Where a project's functions run, and how they are changed.
pub(crate) enum Deployment {
    /// On the platform, through the Supabase CLI.
    Hosted(Hosted),
    /// In the local stack, through the files that it serves.
    Local(Local),
    /// Unknown: there is only a database connection, and functions are left to the user.
    DatabaseOnly,
}

/// A project.
pub(crate) struct Project {
    /// The options that select it again.
    pub(crate) options: ProjectOptions,
    pub(crate) deployment: Deployment,
    pub(crate) database: Database,
}

/// What is known before a project is selected.
pub(crate) enum Candidates {
    /// The hosted projects of the account.
    Account(SupabaseCli, Vec<ListedProject>),
    /// The only project that the options allow.
    Only(Box<Project>),
}

impl ProjectOptions {
    fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }

    /// A command of this program for the same project. A password is left out of the URL.
    pub(crate) fn command(&self, command: &str) -> CommandLine {
        let url = self.db_url.as_deref().map(without_password);
        let (url, had_password) = url.unzip();
        let timeout = (self.timeout != DEFAULT_TIMEOUT).then(|| self.timeout.to_string());
        let line = CommandLine::supaqueue(command)
            .option("--project-ref", self.project_ref.as_ref())
            .option("--db-url", url)
            .flag("--local", self.local)
            .option("--workdir", self.workdir.as_ref())
            .option("--ca", self.tls.ca.as_ref())
            .flag("--insecure-db-connection", self.tls.insecure_db_connection)
            .option("--timeout", timeout);
        match had_password {
            Some(true) => line.needs("PGPASSWORD"),
            _ => line,
        }
    }

    /// The same with a direct connection.
    pub(crate) fn with_db_url(&self, url: String) -> Self {
        Self {
            project_ref: None,
            db_url: Some(url),
            ..self.clone()
        }
    }

    /// The user's `supabase` folder, if there is one.
    pub(crate) fn supabase_dir(&self) -> Option<SupabaseDir> {
        SupabaseDir::find(self.workdir.as_deref())
    }

    /// Finds and selects the project, as the first two steps of a command.
    pub(crate) async fn open(&self, steps: &mut Steps) -> Result<Project> {
        let candidates = steps.step_value(self.find()).await?;
        let project = self.select(candidates).await?;
        steps.finish(project.name());
        Ok(project)
    }

    /// Finds and selects the project, for a command that has no steps.
    pub(crate) async fn pick(&self) -> Result<Project> {
        let spinner = spinner("connecting");
        let candidates = self.find().await;
        spinner.finish_and_clear();
        self.select(candidates?.0).await
    }

    /// [`Self::pick`] without a spinner, for a command that has the screen.
    pub(crate) async fn pick_again(&self) -> Result<Project> {
        self.select(self.find().await?.0).await
    }

    /// Checks tools and login, and connects where no project has to be selected.
    pub(crate) async fn find(&self) -> Result<(Candidates, String)> {
        if let Some(url) = &self.db_url {
            let connection = self.connect(url).await?;
            let detail = format!("connected to the database; {}", connection.protection);
            let project = Project {
                options: self.clone(),
                deployment: Deployment::DatabaseOnly,
                database: Database::Direct(connection),
            };
            return Ok((Candidates::Only(Box::new(project)), detail));
        }
        let cli = SupabaseCli::find(self.limit(), self.workdir.as_deref()).await?;
        if self.local {
            let dir = self.supabase_dir().ok_or_else(supabase_dir::missing)?;
            let local = Local::read(&cli, dir).await?;
            let connection = self.connect(&local.db_url).await?;
            let project = Project {
                options: self.clone(),
                deployment: Deployment::Local(local),
                database: Database::Direct(connection),
            };
            return Ok((
                Candidates::Only(Box::new(project)),
                format!("Supabase CLI {}, the local stack is running", cli.version),
            ));
        }
        let projects = hosted::projects(&cli).await?;
        let found = count(projects.len(), "project");
        let detail = format!("Supabase CLI {}, {found}", cli.version);
        Ok((Candidates::Account(cli, projects), detail))
    }

    async fn connect(&self, url: &str) -> Result<Connection> {
        Connection::open(url, &self.tls, self.limit()).await
    }

    /// Selects the project and verifies that it exists and is running.
    pub(crate) async fn select(&self, candidates: Candidates) -> Result<Project> {
        let (cli, projects) = match candidates {
            Candidates::Only(project) => return Ok(*project),
            Candidates::Account(cli, projects) => (cli, projects),
        };
        let linked = || {
            std::env::var("SUPABASE_PROJECT_ID")
                .ok()
                .or_else(|| self.supabase_dir()?.linked_project())
        };
        let listed = match self.project_ref.clone().or_else(linked) {
            None => self.ask(&projects).await?,
            Some(reference) => {
                let mut projects = projects.iter();
                match projects.find(|project| project.id == reference) {
                    Some(listed) => listed,
                    None => return Ok(self.hosted(hosted::branch(&cli, &reference).await?)),
                }
            }
        };
        if !matches!(
            listed.status.as_str(),
            "" | "ACTIVE_HEALTHY" | "ACTIVE_UNHEALTHY"
        ) {
            return Err(user_error(
                format!(
                    "the project {} ({}) is not running: {}",
                    listed.name, listed.id, listed.status
                ),
                "Restore it in the dashboard, or wait until it has started, and run this again.",
            ));
        }
        Ok(self.hosted(Hosted {
            cli,
            reference: listed.id.clone(),
            name: listed.name.clone(),
        }))
    }

    fn hosted(&self, hosted: Hosted) -> Project {
        Project {
            options: Self {
                project_ref: Some(hosted.reference.clone()),
                ..self.clone()
            },
            database: Database::Hosted {
                cli: hosted.cli.clone(),
                reference: hosted.reference.clone(),
            },
            deployment: Deployment::Hosted(hosted),
        }
    }

    async fn ask<'a>(&self, projects: &'a [ListedProject]) -> Result<&'a ListedProject> {
        if projects.is_empty() {
            return Err(user_error(
                "this account has no projects",
                "Create one at https://supabase.com/dashboard.",
            ));
        }
        if !prompt::is_interactive() {
            return Err(user_error(
                "no project selected",
                "Pass --project-ref (see `supabase projects list`), or link this folder with `supabase link`.",
            ));
        }
        let names: Vec<String> = projects
            .iter()
            .map(|project| format!("{}  {}  {}", project.id, project.name, project.region))
            .collect();
        Ok(&projects[prompt::select("Which project?", &names).await?])
    }
}

impl Project {
    /// The name shown to the user.
    pub(crate) fn name(&self) -> String {
        match &self.deployment {
            Deployment::Hosted(hosted) => format!("{} ({})", hosted.name, hosted.reference),
            Deployment::Local(local) => format!("the local stack at {}", local.api_url),
            Deployment::DatabaseOnly => {
                let place = self.options.db_url.as_deref().and_then(place);
                format!("the database {}", place.unwrap_or("of --db-url"))
            }
        }
    }

    /// The project's URL as its database reaches it.
    pub(crate) fn url(&self, state: &DatabaseState) -> Result<String> {
        match &self.deployment {
            Deployment::Hosted(hosted) => Ok(hosted.url(state.url.as_deref())),
            Deployment::Local(_) => Ok(GATEWAY_URL.to_owned()),
            Deployment::DatabaseOnly => state.url.clone().ok_or_else(|| {
                user_error(
                    "the project's URL is unknown",
                    format!("Pass it to `{} --project-url URL`: the gateway's URL as the database reaches it, without a path.", self.command("install")),
                )
            }),
        }
    }

    /// Whether a URL belongs to another project, as in a copied database.
    pub(crate) fn is_of_another(&self, url: &str) -> bool {
        match &self.deployment {
            Deployment::Hosted(hosted) => {
                url == GATEWAY_URL || hosted::is_at_platform(url) && url != hosted.url(None)
            }
            Deployment::Local(_) => hosted::is_at_platform(url),
            Deployment::DatabaseOnly => {
                let db_url = self.options.db_url.as_deref();
                let reference = db_url.and_then(hosted::reference_of);
                hosted::is_at_platform(url)
                    && reference.is_some_and(|reference| url != hosted::platform_url(&reference))
            }
        }
    }

    /// A command of this program for this project.
    pub(crate) fn command(&self, command: &str) -> CommandLine {
        self.options.command(command)
    }

    /// Runs a query in a read-only transaction; see [`Database::query`].
    pub(crate) async fn read<T: DeserializeOwned>(&self, sql: &str) -> Result<T> {
        let sql = format!("set transaction read only;\n{sql}");
        self.database
            .query(&sql)
            .await
            .map_err(|error| self.explained(error))
    }

    /// Runs statements as one transaction; see [`Database::query`].
    pub(crate) async fn write<T: DeserializeOwned>(&self, sql: &str) -> Result<T> {
        self.database
            .query(sql)
            .await
            .map_err(|error| self.explained(error))
    }

    /// The error of a statement, or what is missing if the database does not know one of our names.
    fn explained(&self, error: anyhow::Error) -> anyhow::Error {
        let message = format!("{error:#}");
        let is_missing = ["3F000: ", "42P01: ", "42883: ", "42703: "]
            .iter()
            .any(|code| message.contains(code));
        match is_missing {
            true => user_error(
                format!(
                    "Supaqueue is not installed in {}, or in an older version: {message}",
                    self.name()
                ),
                format!("Run `{}`.", self.command("install")),
            ),
            false => error,
        }
    }

    /// Whether each query takes a call of the Supabase CLI, and counts against a rate limit.
    pub(crate) fn is_slow(&self) -> bool {
        matches!(self.database, Database::Hosted { .. })
    }
}

/// A value as an SQL literal, or `null`.
pub(crate) fn literal(value: Option<impl AsRef<str>>) -> String {
    value.map_or_else(
        || "null".to_owned(),
        |value| escape_literal(value.as_ref()).trim_start().to_owned(),
    )
}
