//! The queue that a project begins with, from options and answers.

use std::path::PathBuf;

use anyhow::{Result, bail};
use postgres_protocol::escape::escape_literal;

use super::Arguments;
use crate::project::supabase_dir::{SupabaseDir, is_function_name};
use crate::prompt;
use crate::user_error::user_error;

/// The source of the sample target.
pub(super) const SAMPLE: &str = include_str!("functions/hello/index.ts");

const SAMPLE_NAME: &str = "hello";
const WORKERS: u16 = 2;

/// Marks the migration of a queue, in its name.
const MARK: &str = "_supaqueue_queue_";

pub(super) struct FirstQueue {
    pub(super) function: String,
    /// Whether the function is the sample, written now or before.
    pub(super) is_sample: bool,
    name: String,
    workers: u16,
}

impl FirstQueue {
    /// Asks what the options leave open. `None` if there is a queue already and none is asked for.
    pub(super) async fn choose(arguments: &Arguments, dir: &SupabaseDir) -> Result<Option<Self>> {
        let is_asked_for = arguments.function.is_some() || arguments.queue.is_some();
        if !is_asked_for && dir.migrations()?.iter().any(|name| name.contains(MARK)) {
            return match arguments.workers {
                None => Ok(None),
                Some(_) => Err(user_error(
                    "the project has a first queue already, and --workers alone does not say whose workers it means",
                    "Name another queue with --queue. To change one that is there: select supaqueue.set_workers('<queue>', <number>);",
                )),
            };
        }
        let asks = !arguments.confirmation.is_given();
        let existing = dir.functions();
        let function = match &arguments.function {
            Some(function) => function.clone(),
            None if asks => ask_for_function(&existing).await?,
            None => only_function(&existing)?,
        };
        let name = match &arguments.queue {
            Some(name) => name.clone(),
            None if asks => prompt::enter("Name of the queue", &function, queue).await?,
            None => function.clone(),
        };
        let workers = match arguments.workers {
            Some(number) => number,
            None if asks => {
                let question = "Workers: how many calls may run at once?";
                prompt::enter(question, &WORKERS.to_string(), workers).await?
            }
            None => WORKERS,
        };
        let is_sample = match std::fs::read_to_string(dir.entry_point(&function)) {
            Ok(text) => text == SAMPLE,
            Err(_) => !existing.contains(&function),
        };
        Ok(Some(Self {
            function,
            is_sample,
            name,
            workers,
        }))
    }

    /// The migration that creates the queue. The sample checks the signature, so it needs no key.
    pub(super) fn migration(&self) -> String {
        let [name, function] = [&self.name, &self.function].map(|text| escape_literal(text));
        let (column, value) = match self.is_sample {
            true => (", auth", ", 'none'"),
            false => ("", ""),
        };
        format!(
            "-- A queue of calls to the edge function {}, and its workers: as many calls run at once, at most.
-- Where the queue is there already, it stays as it is. Change it in a migration of your own.

insert into supaqueue.queue (name, edge_function_name{column})
values ({name}, {function}{value})
on conflict (name) do nothing;

select supaqueue.set_workers({name}, {})
where not exists (select from supaqueue.worker w where w.queue = supaqueue.queue_id({name}));
",
            self.function, self.workers
        )
    }

    pub(super) fn migration_name(&self, stamp: u64) -> String {
        let is_kept = |c: char| c.is_ascii_alphanumeric();
        let name = self.name.to_lowercase();
        let words: Vec<_> = name
            .split(|c| !is_kept(c))
            .filter(|word| !word.is_empty())
            .collect();
        let name: String = words.join("_").chars().take(60).collect();
        format!("{stamp}{MARK}{name}.sql")
    }

    /// The migration that an earlier run wrote for a queue of this name.
    pub(super) fn existing_migration(&self, dir: &SupabaseDir) -> Result<Option<PathBuf>> {
        let values = format!("\nvalues ({}, ", escape_literal(&self.name));
        let mut paths = dir
            .migrations()?
            .into_iter()
            .filter(|name| name.contains(MARK))
            .map(|name| dir.migration(name));
        Ok(paths.find(|path| {
            std::fs::read_to_string(path).is_ok_and(|text| text.replace('\r', "").contains(&values))
        }))
    }

    /// A statement that inserts a job.
    pub(super) fn enqueue(&self) -> String {
        let payload = match self.is_sample {
            true => r#"{"name": "Ada"}"#,
            false => "{}",
        };
        format!(
            "select supaqueue.enqueue({}, '{payload}');",
            escape_literal(&self.name)
        )
    }
}

async fn ask_for_function(existing: &[String]) -> Result<String> {
    let new = "a new function";
    let mut names = existing.to_vec();
    if !names.is_empty() {
        names.push(new.into());
        let name =
            &names[prompt::select("Which function does the first queue call?", &names).await?];
        if name != new {
            return Ok(name.clone());
        }
    }
    prompt::enter("Name of the new function", free_name(existing), function).await
}

/// The function that is meant without a word about it.
fn only_function(existing: &[String]) -> Result<String> {
    match existing {
        [] => Ok(SAMPLE_NAME.into()),
        [only] => Ok(only.clone()),
        several => Err(user_error(
            format!("the project has several functions: {}", several.join(", ")),
            "Choose the one that the first queue calls with --function NAME. For another name, a sample is written.",
        )),
    }
}

fn free_name(existing: &[String]) -> &'static str {
    match existing.iter().any(|name| name == SAMPLE_NAME) {
        true => "hello-queue",
        false => SAMPLE_NAME,
    }
}

/// The name of a function.
pub(super) fn function(text: &str) -> Result<String> {
    match is_function_name(text) {
        true => Ok(text.to_owned()),
        false => bail!(
            "the name of a function begins with a letter, has only letters, digits, - and _, and is not supaqueue"
        ),
    }
}

/// The name of a queue.
pub(super) fn queue(text: &str) -> Result<String> {
    match text.trim() {
        "" => bail!("the name of a queue is not empty"),
        name if name.contains(char::is_control) => {
            bail!("the name of a queue has no control characters")
        }
        name => Ok(name.to_owned()),
    }
}

/// A number of workers.
pub(super) fn workers(text: &str) -> Result<u16> {
    match text.parse() {
        Ok(number @ 1..=10_000) => Ok(number),
        _ => bail!("the number of workers is between 1 and 10000"),
    }
}
