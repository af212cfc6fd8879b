//! `supaqueue rotate-secret`: replaces the secret without downtime.
//!
//! The Vault records the progress of a rotation, so that it can be resumed after any interruption.
//! While there is a next secret, the database signs with the old one and the functions are being
//! given both. While there is a previous secret, the database signs with the new one and the
//! functions still accept both.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use postgres_protocol::escape::escape_literal;
use supaqueue_files::DatabaseState;

use crate::command;
use crate::command_line::CommandLine;
use crate::output::errln;
use crate::project::database::Database;
use crate::project::probe::{self, Response};
use crate::project::vault;
use crate::project::{Deployment, Project, ProjectOptions};
use crate::prompt::Confirmation;
use crate::steps::Steps;
use crate::user_error::user_error;

const STEPS: [&str; 7] = [
    "tools and login",
    "project",
    "new secret",
    "functions accept both secrets",
    "database signs with the new secret",
    "pending dispatches",
    "functions accept only the new secret",
];

/// How long the platform may take to give the functions a secret.
const PROPAGATION_LIMIT: Duration = Duration::from_secs(120);

/// How long dispatches signed with the old secret may take to be acknowledged.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// Replaces the secret shared by database and function without losing or delaying a job.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    project: ProjectOptions,
    #[command(flatten)]
    confirmation: Confirmation,
}

impl Arguments {
    /// The command as it was given, for a project.
    fn command(&self, project: &ProjectOptions) -> CommandLine {
        self.confirmation.add_to(project.command("rotate-secret"))
    }
}

/// Runs the command until it ends or is interrupted.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    let steps = Steps::new(&STEPS, arguments.command(&arguments.project));
    command::run_steps("rotate-secret", steps, async |steps: &mut Steps| {
        rotate(&arguments, steps).await
    })
    .await
}

async fn rotate(arguments: &Arguments, steps: &mut Steps) -> Result<()> {
    let project = arguments.project.open(steps).await?;
    steps.resume_with(arguments.command(&project.options));
    let question = format!("Replace the secret of {}?", project.name());
    arguments.confirmation.ask(&question).await?;

    let state = steps.step_value(new_secret(&project)).await?;
    steps.step(accept_both(&project, &state)).await?;
    let state = steps.step_value(promote(&project.database, state)).await?;
    steps.step(drain(&project, &state)).await?;
    steps.step(accept_only_new(&project, state)).await?;
    if matches!(project.deployment, Deployment::DatabaseOnly) {
        errln!(
            "\nNext step: set SUPAQUEUE_SECRET in the functions' environment to the result of this, and restart them:"
        );
        errln!(
            "  select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_secret'"
        );
    }
    Ok(())
}

/// Generates the next secret, unless there is a rotation to resume.
async fn new_secret(project: &Project) -> Result<(DatabaseState, &'static str)> {
    let database = &project.database;
    let state = database.state().await?;
    let is_unreadable = state.unreadable.contains_key("supaqueue_secret");
    if (state.secret.is_none() && !is_unreadable) || state.version().is_none() {
        return Err(user_error(
            "Supaqueue is not installed in this project",
            format!("Run `{}` first.", project.command("install")),
        ));
    }
    if state.is_rotating() {
        return Ok((state, "resuming an unfinished rotation"));
    }
    if state.unreadable.contains_key("supaqueue_url") {
        return Err(user_error(
            "the Vault cannot decrypt the project's URL, which is needed to reach the functions",
            format!(
                "Run `{}`: it stores the URL and a new secret.",
                project.command("install")
            ),
        ));
    }
    Ok((
        vault::create_next_secret(database, &state).await?,
        match is_unreadable {
            true => "generated 32 random bytes to replace what the Vault cannot decrypt",
            false => "generated 32 random bytes in the Vault",
        },
    ))
}

async fn accept_both(project: &Project, state: &DatabaseState) -> Result<&'static str> {
    if state.secret_previous.is_some() {
        return Ok("already done");
    }
    set_functions_secret(project, state).await?;
    let is_old_valid = state.functions_secret().contains(' ');
    wait_until_accepted(project, is_old_valid, true).await?;
    Ok("both signatures are accepted")
}

async fn promote(
    database: &Database,
    state: DatabaseState,
) -> Result<(DatabaseState, &'static str)> {
    if state.secret_previous.is_some() {
        return Ok((state, "already done"));
    }
    Ok((vault::promote_next_secret(database).await?, "done"))
}

/// Puts the new secret first for the functions, and waits for the acknowledgement of dispatches
/// signed with the old one. Those not acknowledged in time are sent again with a new signature when
/// their lease ends.
async fn drain(project: &Project, state: &DatabaseState) -> Result<String> {
    set_functions_secret(project, state).await?;
    let sql = format!(
        "select to_jsonb(count(*)) as result from supaqueue.current_job c
         where c.state = 'sent' and c.created_at < {}",
        escape_literal(&state.now)
    );
    let start = Instant::now();
    loop {
        let pending: usize = project.database.query(&sql).await?;
        if pending == 0 {
            return Ok("none".into());
        }
        if start.elapsed() > DRAIN_LIMIT {
            return Ok(format!(
                "{pending} not acknowledged yet; they are sent again when their lease ends"
            ));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn accept_only_new(project: &Project, state: DatabaseState) -> Result<&'static str> {
    let is_left_to_user = matches!(project.deployment, Deployment::DatabaseOnly);
    if !is_left_to_user {
        let new_only = DatabaseState {
            secret_previous: None,
            ..state
        };
        set_functions_secret(project, &new_only).await?;
        wait_until_accepted(project, true, false).await?;
    }
    // Last: the previous secret marks the rotation as unfinished.
    vault::delete_previous_secret(&project.database).await?;
    Ok(match is_left_to_user {
        true => "left to you, see below",
        false => "the old secret is rejected",
    })
}

/// Gives the functions the keys of a state.
async fn set_functions_secret(project: &Project, state: &DatabaseState) -> Result<()> {
    match &project.deployment {
        Deployment::Hosted(hosted) => hosted.set_secret(&state.functions_secret()).await,
        Deployment::Local(local) => local.set_secret(&state.functions_secret()),
        Deployment::DatabaseOnly => Ok(()),
    }
}

/// Waits until the function accepts dispatches signed with the current secret, the next one, or both.
async fn wait_until_accepted(project: &Project, current: bool, next: bool) -> Result<()> {
    let start = Instant::now();
    loop {
        let probes = probe::probe(&project.database).await?;
        let is_accepted =
            |response: &Option<Response>| response.as_ref().is_some_and(Response::is_accepted);
        if (!current || is_accepted(&probes.signed))
            && (!next || is_accepted(&probes.signed_with_next))
        {
            return Ok(());
        }
        // Only the platform passes the secret on by itself; elsewhere, waiting changes nothing.
        let is_propagating = matches!(project.deployment, Deployment::Hosted(_));
        if is_propagating && start.elapsed() <= PROPAGATION_LIMIT {
            continue;
        }
        let response = if next {
            probes.signed_with_next
        } else {
            probes.signed
        };
        let reason = response.map_or_else(
            || "pg_net has no response".to_owned(),
            |response| response.describe(),
        );
        let remedy = match &project.deployment {
            Deployment::Hosted(_) => format!(
                "Run `{}` for the cause, and then this again to resume.",
                project.command("doctor")
            ),
            Deployment::Local(local) => {
                format!("Restart `{}`, and run this again.", local.serve())
            }
            Deployment::DatabaseOnly => {
                "Set SUPAQUEUE_SECRET in the functions' environment to the result of this, restart them, and run this again: \
                 select string_agg(decrypted_secret, ' ' order by name) from vault.decrypted_secrets where name in ('supaqueue_secret', 'supaqueue_secret_next')".to_owned()
            }
        };
        return Err(user_error(
            format!("the function does not accept the secret: {reason}"),
            remedy,
        ));
    }
}
