//! Questions to a person.

use std::io::{IsTerminal, Write};

use anyhow::{Context, Result, bail};

use crate::output::tell;
use crate::problem::Problem;

/// Whether there is a person to ask.
pub(crate) fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// The option that answers for the person, if it was given.
pub(crate) fn option(yes: bool) -> &'static str {
    if yes { " --yes" } else { "" }
}

/// Asks before something is changed. `yes` answers for the person.
pub(crate) async fn confirm(question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !is_terminal() {
        return Err(Problem::error(
            "nobody can be asked: this is not a terminal",
            "Run this again with --yes. (What an installation would do, `supaqueue install --dry-run` prints.)",
        ));
    }
    let answer = ask(&format!("{question} [y/N] ")).await?;
    match answer.to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!("nothing was changed"),
    }
}

/// Has the person pick one; its index.
pub(crate) async fn pick(question: &str, names: &[String]) -> Result<usize> {
    for (number, name) in (1..).zip(names) {
        tell!("  {number}. {name}");
    }
    loop {
        let answer = ask(&format!("{question} [1-{}] ", names.len())).await?;
        match answer.parse::<usize>() {
            Ok(number) if (1..=names.len()).contains(&number) => return Ok(number - 1),
            _ => tell!("Type a number from 1 to {}.", names.len()),
        }
    }
}

/// Waits for a line on a thread that nobody waits for: Ctrl-C ends the program at a question, too,
/// which it could not while this or the runtime's end waited for the terminal.
async fn ask(question: &str) -> Result<String> {
    eprint!("{question}");
    std::io::stderr()
        .flush()
        .context("cannot write to the terminal")?;
    let (tell, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        // Where nobody listens any more, the program is about to end.
        let _ = tell.send(read.map(|length| (length, answer)));
    });
    match told.await.context("nobody reads the terminal")? {
        // The end of the input.
        Ok((0, _)) => bail!("nothing was changed"),
        Ok((_, answer)) => Ok(answer.trim().to_owned()),
        Err(error) => Err(error).context("cannot read from the terminal"),
    }
}
