//! Offers to add the programs that the stack runs to the user's project.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use supaqueue_local::PostgresSource;
use supaqueue_local::programs::{Installer, Program, remedy, setup_of_clone};

use crate::command_line::CommandLine;
use crate::output::errln;
use crate::prompt::{confirm, is_interactive};
use crate::user_error::user_error;

/// How to use programs that are installed elsewhere.
const VARIABLES: &str =
    "Or set SUPAQUEUE_POSTGRES_BIN to the folder of `postgres`, and SUPAQUEUE_DENO to Deno.";

/// Makes sure that Postgres and Deno are installed. At a terminal, the user can have them added to
/// the project.
pub(super) async fn provide(postgres: &PostgresSource) -> Result<()> {
    let missing = Program::missing(postgres);
    if missing.is_empty() {
        return Ok(());
    }
    let here = std::env::current_dir().context("cannot find the current folder")?;
    let installer = Installer::of(&here);
    match installer.command(&missing) {
        Some(command) if is_interactive() && setup_of_clone(&here).is_none() => {
            add(&missing, &installer.folder, &command).await?;
        }
        _ => {
            let mut remedy = remedy(&missing);
            remedy[..1].make_ascii_uppercase();
            return Err(user_error(
                not_installed(&missing),
                format!("{remedy}\n  {VARIABLES}"),
            ));
        }
    }
    match Program::missing(postgres).as_slice() {
        [] => Ok(()),
        // Yarn's Plug'n'Play keeps packages in archives, from which no program can be run.
        missing => Err(user_error(
            format!("{}: no `node_modules` has it", not_installed(missing)),
            format!("With Yarn, set `nodeLinker: node-modules` in .yarnrc.yml. {VARIABLES}"),
        )),
    }
}

/// Adds the programs to a project with the words of a command, if the user agrees.
async fn add(programs: &[Program], project: &Path, command: &[String]) -> Result<()> {
    let line = command.join(" ");
    errln!(
        "{}. The local stack needs what is missing.\nThis adds it to the project in {}:\n\n  {line}\n",
        not_installed(programs),
        project.display(),
    );
    confirm("Run this command?")
        .await
        .map_err(|error| user_error(error, format!("Run it yourself: {line}\n  {VARIABLES}")))?;
    let failed = |why: String| {
        let again = CommandLine::supaqueue("dev");
        user_error(why, format!("Run `{line}` yourself, then `{again}` again."))
    };
    let [program, arguments @ ..] = command else {
        return Ok(());
    };
    let status = tokio::process::Command::new(program)
        .args(arguments)
        .current_dir(project)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .map_err(|error| failed(format!("cannot start {program}: {error}")))?;
    match status.success() {
        true => {
            errln!();
            Ok(())
        }
        false => Err(failed(format!("{program} failed ({status})"))),
    }
}

fn not_installed(programs: &[Program]) -> String {
    let names: Vec<_> = programs.iter().map(|program| program.name()).collect();
    let verb = if programs.len() == 1 { "is" } else { "are" };
    format!("{} {verb} not installed", names.join(" and "))
}
