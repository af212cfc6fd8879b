//! Questions to a person.

use std::io::{IsTerminal, Write};

use anyhow::{Context, Result, bail};

use crate::problem::Problem;

/// Whether there is a person to ask.
pub(crate) fn is_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks before something is changed. `yes` answers for the person.
pub(crate) fn confirm(question: &str, yes: bool) -> Result<()> {
    if yes {
        return Ok(());
    }
    if !is_terminal() {
        return Err(Problem::error(
            "nobody can be asked: this is not a terminal",
            "Look at what --dry-run prints, then run this again with --yes.",
        ));
    }
    match ask(&format!("{question} [y/N] "))?.to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => bail!("nothing was changed"),
    }
}

/// Has the person pick one; its index.
pub(crate) fn pick(question: &str, names: &[String]) -> Result<usize> {
    for (number, name) in (1..).zip(names) {
        eprintln!("  {number}. {name}");
    }
    loop {
        let answer = ask(&format!("{question} [1-{}] ", names.len()))?;
        match answer.parse::<usize>() {
            Ok(number) if (1..=names.len()).contains(&number) => return Ok(number - 1),
            _ => eprintln!("Type a number from 1 to {}.", names.len()),
        }
    }
}

fn ask(question: &str) -> Result<String> {
    eprint!("{question}");
    std::io::stderr()
        .flush()
        .context("cannot write to the terminal")?;
    let mut answer = String::new();
    if std::io::stdin()
        .read_line(&mut answer)
        .context("cannot read from the terminal")?
        == 0
    {
        bail!("nothing was changed");
    }
    Ok(answer.trim().to_owned())
}
