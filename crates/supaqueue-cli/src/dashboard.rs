//! `supaqueue dashboard`: serves the web interface of a project until Ctrl-C.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Result;
use supaqueue_dashboard::{Access, ConfigConnectImpl, Dashboard, Error, MIN_PASSWORD, Options};

use crate::output::{errln, outln};
use crate::project::database::Database;
use crate::project::{Deployment, Project, ProjectOptions};
use crate::signal::stop_requested;
use crate::user_error::{self, user_error};

/// The password of `--listen`.
const PASSWORD: &str = "SUPAQUEUE_DASHBOARD_PASSWORD";

/// Serves a web interface for the project's queues on this machine.
///
/// It prints a link with a token, without which nobody gets in. For a hosted project, link the folder with `supabase link` and
/// set PGPASSWORD, or pass --db-url.
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

/// Serves until a signal, which is its ordinary end.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    tokio::select! {
        result = dashboard(arguments) => match result {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                user_error::print("supaqueue dashboard", &error);
                ExitCode::FAILURE
            }
        },
        _ = stop_requested() => ExitCode::SUCCESS,
    }
}

async fn dashboard(arguments: Arguments) -> Result<()> {
    let access = access(&arguments)?;
    let (candidates, detail) = arguments.project.find().await?;
    let project = arguments.project.select(candidates).await?;
    let (name, connection, detail) = match project.database {
        Database::Direct(_) => (name(&project), project, detail),
        Database::Hosted { .. } => {
            let (pooled, detail) = pooler(&arguments.project, &project)?.find().await?;
            let pooled = arguments.project.select(pooled).await?;
            (project.name(), pooled, detail)
        }
    };
    let Database::Direct(connection) = connection.database else {
        anyhow::bail!("there is no connection to the database");
    };
    let (config, tls) = connection.again();
    drop(connection);
    let options = Options {
        project: name,
        access,
        is_read_only: arguments.read_only,
    };
    let dashboard = Dashboard::bind(options, config, ConfigConnectImpl { tls })
        .await
        .map_err(explained)?;
    errln!("{detail}");
    outln!("{}", dashboard.link());
    match arguments.listen {
        Some(_) => errln!(
            "It serves HTTP: let only a reverse proxy with TLS reach it. Press Ctrl-C to stop."
        ),
        None => errln!(
            "Open this link. Whoever has it can do what the dashboard can. Press Ctrl-C to stop."
        ),
    }
    dashboard.serve().await;
    Ok(())
}

/// The options for a direct connection to a hosted project: by the session pooler that `supabase link` has saved.
fn pooler(options: &ProjectOptions, project: &Project) -> Result<ProjectOptions> {
    let reference = project.options.project_ref.as_deref().unwrap_or_default();
    let dir = options.supabase_dir();
    let url = dir.and_then(|dir| dir.pooler_url(reference)).ok_or_else(|| {
        user_error(
            format!("the dashboard needs a connection to the database of {}, and its address is unknown", project.name()),
            "Link the project with `supabase link`, or pass --db-url with the address of the session pooler (in the project's dashboard under Connect). The password can be in PGPASSWORD.",
        )
    })?;
    if std::env::var_os("PGPASSWORD").is_none() {
        return Err(user_error(
            format!(
                "the dashboard needs a connection to the database of {}, and has no password for {url}",
                project.name()
            ),
            "Set PGPASSWORD to the database's password, and run this again.",
        ));
    }
    Ok(options.with_db_url(url))
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

/// The project's name, for titles and questions.
fn name(project: &Project) -> String {
    let Database::Direct(connection) = &project.database else {
        return project.name();
    };
    match project.deployment {
        Deployment::DatabaseOnly => connection.place(),
        _ => project.name(),
    }
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
