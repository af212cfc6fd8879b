//! `supaqueue rotate-secret`: a new secret without an outage.
//!
//! The Vault says how far a rotation has come, so that it can go on after any interruption: while
//! it has a next secret, the functions are to accept both and the database signs with the old one;
//! while it has a previous one, the database signs with the new one and the functions still accept both.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use supaqueue_files::{State, vault};

use crate::command;
use crate::output::tell;
use crate::problem::Problem;
use crate::project::database::{Database, literal};
use crate::project::probe;
use crate::project::state;
use crate::project::{Place, Project, Target};
use crate::prompt;
use crate::steps::Steps;

const STEPS: [&str; 7] = [
    "tools and login",
    "project",
    "new secret",
    "functions accept both",
    "database signs with the new one",
    "dispatches under way",
    "functions accept the new one alone",
];

/// How long the functions may take to hear of a secret.
const PATIENCE: Duration = Duration::from_secs(120);

/// Replaces the secret of database and function by a new one; no job is lost or held up.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Do not ask
    #[arg(long)]
    yes: bool,
}

/// Runs the command until it ends or is interrupted.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    let mut steps = Steps::new(
        &STEPS,
        format!("supaqueue rotate-secret{}", arguments.target.options()),
    );
    command::run_steps("rotate-secret", &mut steps, async |steps: &mut Steps| {
        rotate(&arguments, steps).await
    })
    .await
}

async fn rotate(arguments: &Arguments, steps: &mut Steps) -> Result<()> {
    let checked = steps.step(arguments.target.check()).await?;
    let project = steps.show(arguments.target.choose(checked).await)?;
    let yes = prompt::option(arguments.yes);
    steps.go_on_with(format!("supaqueue rotate-secret{}{yes}", project.options()));
    prompt::confirm(
        &format!("Give {} a new secret?", project.name()),
        arguments.yes,
    )
    .await?;

    let state = steps.step(new_secret(&project.database)).await?;
    steps.step(accept_both(&project, &state)).await?;
    let state = steps.step(promote(&project.database, state)).await?;
    steps.step(drain(&project, &state)).await?;
    steps.step(accept_new_alone(&project, state)).await?;
    if matches!(project.place, Place::Direct) {
        tell!(
            "\nLeft to you: set SUPAQUEUE_SECRET of the functions to what this returns, and restart them:"
        );
        tell!(
            "  select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_secret'"
        );
    }
    Ok(())
}

/// Makes the next secret, unless there is a rotation to go on with.
async fn new_secret(database: &Database) -> Result<(State, &'static str)> {
    let state = state::read(database).await?;
    if state.secret.is_none() || state.version.is_none() {
        return Err(Problem::error(
            "Supaqueue is not installed in this project",
            "Run `supaqueue install` first.",
        ));
    }
    if state.is_rotating() {
        return Ok((state, "going on with a rotation that was not finished"));
    }
    Ok((
        state::make_next_secret(database).await?,
        "32 random bytes, made in the Vault",
    ))
}

async fn accept_both(project: &Project, state: &State) -> Result<((), &'static str)> {
    if state.secret_previous.is_some() {
        return Ok(((), "done before"));
    }
    give_functions(project, state).await?;
    let is_old_valid = state.environment().contains(' ');
    wait_until_accepted(project, is_old_valid, true).await?;
    Ok(((), "whatever is signed with either is accepted"))
}

async fn promote(database: &Database, state: State) -> Result<(State, &'static str)> {
    if state.secret_previous.is_some() {
        return Ok((state, "done before"));
    }
    Ok((state::promote_next_secret(database).await?, "from now on"))
}

/// Has the functions sign with the new secret, and waits until what was signed with the old one
/// has arrived. What has not by then is sent again, signed with the new one, when its lease ends.
async fn drain(project: &Project, state: &State) -> Result<((), String)> {
    give_functions(project, state).await?;
    let sql = format!(
        "select to_jsonb(count(*)) as result from supaqueue.current_job c
         where c.acknowledged_at is null and c.created_at < {}",
        literal(&state.now)
    );
    let begin = Instant::now();
    loop {
        let left: i64 = project.database.query(&sql).await?;
        if left == 0 {
            return Ok(((), "none is left".into()));
        }
        if begin.elapsed() > PATIENCE / 4 {
            let what = "are not acknowledged yet; they are sent again when their lease ends";
            return Ok(((), format!("{left} {what}")));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn accept_new_alone(project: &Project, state: State) -> Result<((), &'static str)> {
    if !matches!(project.place, Place::Direct) {
        give_functions(
            project,
            &State {
                secret_previous: None,
                ..state
            },
        )
        .await?;
        wait_until_accepted(project, true, false).await?;
    }
    // Last: until then the Vault says that there is something to finish.
    project.database.run(vault::FORGET_PREVIOUS_SECRET).await?;
    Ok((
        (),
        match project.place {
            Place::Direct => "left to you, see below",
            Place::Hosted(_) | Place::Local(_) => "the old secret is gone",
        },
    ))
}

/// Gives the functions the secrets of a state.
async fn give_functions(project: &Project, state: &State) -> Result<()> {
    match &project.place {
        Place::Hosted(hosted) => hosted.set_secret(&state.environment()).await,
        Place::Local(local) => local.set_secret(&state.environment()),
        Place::Direct => Ok(()),
    }
}

/// Waits until the function accepts what is signed with the current secret, the next one, or both.
async fn wait_until_accepted(project: &Project, current: bool, next: bool) -> Result<()> {
    let begin = Instant::now();
    loop {
        let probes = probe::probe(&project.database).await?;
        let accepted = |answer: &Option<probe::Answer>| {
            answer.as_ref().is_some_and(probe::Answer::is_accepted)
        };
        if (!current || accepted(&probes.signed)) && (!next || accepted(&probes.signed_with_next)) {
            return Ok(());
        }
        let answer = if next {
            probes.signed_with_next
        } else {
            probes.signed
        };
        let remedy = match &project.place {
            Place::Hosted(_) => "Run `supaqueue doctor` for the reason, then this again: it goes on where it stopped.".to_owned(),
            Place::Local(_) => "Restart `supabase functions serve --env-file supabase/.temp/supaqueue.env`, then run this again.".to_owned(),
            Place::Direct => "Set SUPAQUEUE_SECRET of the functions to what this returns, restart them, then run this again: \
                select string_agg(decrypted_secret, ' ' order by name) from vault.decrypted_secrets where name in ('supaqueue_secret', 'supaqueue_secret_next')"
                .to_owned(),
        };
        // Where the functions' environment is left to the user, waiting would be in vain.
        let is_left_to_user = !matches!(project.place, Place::Hosted(_));
        if is_left_to_user || begin.elapsed() > PATIENCE {
            let answer = answer.map_or_else(
                || "pg_net has no answer of it".to_owned(),
                |answer| answer.describe(),
            );
            return Err(Problem::error(
                format!("the function does not accept the secret: {answer}"),
                remedy,
            ));
        }
    }
}
