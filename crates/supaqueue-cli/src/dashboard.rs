//! `supaqueue dashboard`: serves the web interface of a project until Ctrl-C.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Result;
use supaqueue_dashboard::{Access, ConfigConnectImpl, Dashboard, Error, MIN_PASSWORD, Options};
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::command;
use crate::output::{errln, outln};
use crate::project::database::Database;
use crate::project::{Deployment, Project, ProjectOptions};
use crate::user_error::user_error;

/// The password of `--listen`.
const PASSWORD: &str = "SUPAQUEUE_DASHBOARD_PASSWORD";

/// Serves a web interface for the project's queues on this machine.
///
/// It prints a link with a token, without which nobody gets in. It needs a connection to the database: for a
/// hosted project, pass --db-url.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    project: ProjectOptions,
    /// The port on 127.0.0.1 [default: a free one]
    #[arg(long, value_name = "N", conflicts_with = "listen")]
    port: Option<u16>,
    /// Show everything and change nothing: actions are refused, and the database sessions cannot write
    #[arg(long)]
    read_only: bool,
    /// Listen on this address, for a team. Needs a password in SUPAQUEUE_DASHBOARD_PASSWORD; it serves HTTP, so put a reverse proxy with TLS before it
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// With --listen: a host name by which browsers reach it; may be repeated
    #[arg(long, value_name = "NAME", requires = "listen")]
    host: Vec<String>,
}

/// Serves until a signal.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    command::run("dashboard", dashboard(arguments)).await
}

async fn dashboard(arguments: Arguments) -> Result<ExitCode> {
    let access = access(&arguments)?;
    let (candidates, detail) = arguments.project.find().await?;
    let project = arguments.project.select(candidates).await?;
    let Database::Direct(connection) = &project.database else {
        return Err(no_connection(&project));
    };
    let (config, tls) = connection.again();
    let options = Options {
        project: name(&project, &config),
        access,
        is_read_only: arguments.read_only,
    };
    drop(project);
    let is_open = arguments.listen.is_some();
    let dashboard = Dashboard::bind(options, config, ConfigConnectImpl { tls })
        .await
        .map_err(explained)?;
    errln!("{detail}");
    outln!("{}", dashboard.link());
    match is_open {
        true => errln!(
            "It serves HTTP: let only a reverse proxy with TLS reach it. Press Ctrl-C to stop."
        ),
        false => {
            errln!("Open this link. Whoever has it can act on the queues. Press Ctrl-C to stop.")
        }
    }
    dashboard.serve().await;
    Ok(ExitCode::SUCCESS)
}

fn access(arguments: &Arguments) -> Result<Access> {
    let Some(listen) = arguments.listen else {
        return Ok(Access::Token {
            port: arguments.port.unwrap_or(0),
        });
    };
    let password = std::env::var(PASSWORD).map_err(|_| {
        user_error(
            "--listen needs a password, and SUPAQUEUE_DASHBOARD_PASSWORD is not set",
            format!(
                "Set it to at least {MIN_PASSWORD} characters: it is what your team logs in with."
            ),
        )
    })?;
    Ok(Access::Password {
        listen,
        hosts: arguments.host.clone(),
        password,
    })
}

/// The project's name, for titles.
fn name(project: &Project, config: &Config) -> String {
    if !matches!(project.deployment, Deployment::DatabaseOnly) {
        return project.name();
    }
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        #[cfg(unix)]
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".into(),
    };
    match config.get_dbname() {
        Some(database) => format!("{database} at {host}"),
        None => host,
    }
}

fn no_connection(project: &Project) -> anyhow::Error {
    user_error(
        format!(
            "{} has no database connection here: the Supabase CLI's is too slow for pages",
            project.name()
        ),
        "Pass --db-url with the address of the session pooler (in the project's dashboard under Connect), without the password, and set PGPASSWORD.",
    )
}

fn explained(error: Error) -> anyhow::Error {
    let remedy = match &error {
        Error::Listen(..) => "Choose another address or port.".to_owned(),
        Error::ShortPassword => {
            format!("Set {PASSWORD} to at least {MIN_PASSWORD} characters.")
        }
        Error::NoHost(_) => {
            "Pass --host with each name by which browsers reach it: --host queues.example.com."
                .to_owned()
        }
        Error::Pool(_) => return error.into(),
    };
    user_error(error, remedy)
}
