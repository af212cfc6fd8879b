//! Interactive prompts.

use std::io::{IsTerminal, Write};

use anyhow::{Context, Result, bail};

use crate::command_line::CommandLine;
use crate::output::errln;
use crate::user_error::user_error;

/// Whether the user can be prompted.
pub(crate) fn is_interactive() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// The confirmation before a change.
#[derive(Debug, clap::Args)]
pub(crate) struct Confirmation {
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

impl Confirmation {
    /// Adds the option to a command as it was given.
    pub(crate) fn add_to(&self, command: CommandLine) -> CommandLine {
        command.flag("--yes", self.yes)
    }

    /// Whether no question is to be asked.
    pub(crate) fn is_given(&self) -> bool {
        self.yes
    }

    /// Asks for confirmation, unless `--yes` was given.
    pub(crate) async fn ask(&self, question: &str) -> Result<()> {
        let dry_run = CommandLine::supaqueue("install --dry-run");
        let more = format!(" `{dry_run}` prints what an installation would do.");
        self.ask_with(question, &more).await
    }

    /// [`Self::ask`], with an addition to the remedy for when stdin is not a terminal.
    pub(crate) async fn ask_with(&self, question: &str, more: &str) -> Result<()> {
        if self.yes {
            return Ok(());
        }
        if !is_interactive() {
            return Err(user_error(
                "cannot prompt: stdin is not a terminal",
                format!("Run this again with --yes.{more}"),
            ));
        }
        confirm(question).await
    }
}

/// Asks the user to agree.
pub(crate) async fn confirm(question: &str) -> Result<()> {
    let answer = ask(&format!("{question} [y/N] ")).await?;
    match answer.to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!("nothing was changed"),
    }
}

/// Asks the user to choose one of several names and returns its index.
pub(crate) async fn select(question: &str, names: &[String]) -> Result<usize> {
    for (number, name) in (1..).zip(names) {
        errln!("  {number}. {name}");
    }
    loop {
        let answer = ask(&format!("{question} [1-{}] ", names.len())).await?;
        match answer.parse::<usize>() {
            Ok(number) if (1..=names.len()).contains(&number) => return Ok(number - 1),
            _ => errln!("Enter a number from 1 to {}.", names.len()),
        }
    }
}

/// Asks for a value until one can be read. An empty answer is the default.
pub(crate) async fn enter<T>(
    question: &str,
    default: &str,
    read: impl Fn(&str) -> Result<T>,
) -> Result<T> {
    loop {
        let answer = ask(&format!("{question} [{default}] ")).await?;
        match read(if answer.is_empty() { default } else { &answer }) {
            Ok(value) => return Ok(value),
            Err(error) => errln!("{error}."),
        }
    }
}

/// Reads a line on a detached thread. Reading on the runtime would block its shutdown, and with it
/// Ctrl-C, until the user presses Enter.
async fn ask(question: &str) -> Result<String> {
    eprint!("{question}");
    std::io::stderr()
        .flush()
        .context("cannot write to the terminal")?;
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        // Fails only if the program is about to exit.
        let _ = sender.send(read.map(|length| (length, answer)));
    });
    match receiver.await.context("cannot read from the terminal")? {
        // End of input.
        Ok((0, _)) => bail!("nothing was changed"),
        Ok((_, answer)) => Ok(answer.trim().to_owned()),
        Err(error) => Err(error).context("cannot read from the terminal"),
    }
}
