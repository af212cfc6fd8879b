//! Actions on a queue.

use super::{Action, Done};
use crate::error::Error;
use crate::fields::Fields;
use crate::screen::queue::{SETTINGS, path};
use crate::sql::literal;

pub(super) fn pause(fields: &Fields) -> Result<Action, Error> {
    let name = fields.required("queue")?;
    Ok(Action {
        title: format!("Pause the queue {name}"),
        effect: "It starts no more jobs until it is resumed. Calls in flight end normally, and new jobs are accepted and wait.".into(),
        sql: format!(
            "update supaqueue.queue set is_paused = true where name = {} returning name;",
            literal(name)
        ),
        button: "Pause",
        done: done(name, "The queue is paused."),
        ..on(name)
    })
}

pub(super) fn resume(fields: &Fields) -> Result<Action, Error> {
    let name = fields.required("queue")?;
    Ok(Action {
        title: format!("Resume the queue {name}"),
        effect: "Its pending jobs start, as many at once as it has workers.".into(),
        sql: format!(
            "update supaqueue.queue set is_paused = false where name = {} returning name;",
            literal(name)
        ),
        button: "Resume",
        done: done(name, "The queue is resumed."),
        ..on(name)
    })
}

pub(super) fn set_workers(fields: &Fields) -> Result<Action, Error> {
    let name = fields.required("queue")?;
    let number: u32 = fields
        .required("workers")?
        .parse()
        .map_err(|_| Error::Invalid("The number of workers is not a whole number.".into()))?;
    Ok(Action {
        title: format!("Set the workers of the queue {name}"),
        effect: format!("At most {number} of its calls run at once. Calls in flight end normally."),
        sql: format!("select supaqueue.set_workers({}, {number});", literal(name)),
        button: "Set",
        done: done(name, &format!("The queue has {number} workers.")),
        ..on(name)
    })
}

/// Fields of the settings' form, each with what it was before: only what differs is in the statement.
pub(super) fn change(fields: &Fields) -> Result<Action, Error> {
    let name = fields.required("queue")?;
    let changes: Vec<String> = SETTINGS
        .iter()
        .filter_map(|setting| {
            let value = fields.raw(setting.column)?;
            let was = fields.raw(&format!("was.{}", setting.column))?;
            let is_same = value.replace("\r\n", "\n") == was.replace("\r\n", "\n");
            (!is_same).then(|| format!("{} = {}", setting.column, setting.literal(value)))
        })
        .collect();
    if changes.is_empty() {
        return Err(Error::Invalid(
            "Nothing was changed: all settings are as they were.".into(),
        ));
    }
    Ok(Action {
        title: format!("Change the queue {name}"),
        effect: "The new settings hold for all calls that start from now on.".into(),
        sql: format!(
            "update supaqueue.queue\nset {}\nwhere name = {}\nreturning name;",
            changes.join(",\n    "),
            literal(name)
        ),
        button: "Change",
        // What was entered goes back with it.
        back: fields
            .with("queue", None)
            .link(&format!("{}/settings", path(name))),
        done: done(name, "The settings are changed."),
        ..on(name)
    })
}

fn on(name: &str) -> Action {
    Action {
        title: String::new(),
        effect: String::new(),
        sql: String::new(),
        jobs: None,
        button: "",
        is_final: false,
        back: path(name),
        missing: format!("There is no queue named {name} any more."),
        done: done(name, ""),
    }
}

fn done(name: &str, notice: &str) -> Done {
    let (to, notice) = (path(name), notice.to_owned());
    Box::new(move |_| (to.clone(), notice.clone()))
}
