//! Actions on a schedule.

use super::{Action, Done};
use crate::error::Error;
use crate::fields::Fields;
use crate::screen::{job, schedules};
use crate::sql::literal;

pub(super) fn pause(fields: &Fields) -> Result<Action, Error> {
    let name = fields.required("schedule")?;
    Ok(Action {
        title: format!("Pause the schedule {name}"),
        effect: "It inserts no jobs until it is resumed. Times that pass meanwhile do not count as missed.".into(),
        sql: set(name, "is_paused = true"),
        button: "Pause",
        done: done(name, "The schedule is paused."),
        ..on(name)
    })
}

pub(super) fn resume(fields: &Fields) -> Result<Action, Error> {
    let name = fields.required("schedule")?;
    Ok(Action {
        title: format!("Resume the schedule {name}"),
        effect: "It inserts a job at its next time again.".into(),
        sql: set(name, "is_paused = false"),
        button: "Resume",
        done: done(name, "The schedule is resumed."),
        ..on(name)
    })
}

pub(super) fn run(fields: &Fields) -> Result<Action, Error> {
    let name = fields.required("schedule")?;
    Ok(Action {
        title: format!("Run the schedule {name} now"),
        effect: "It inserts one job now, besides those of its times. If its overlap forbids that, the result is its job that has not ended.".into(),
        sql: format!("select supaqueue.run_schedule({});", literal(name)),
        button: "Run now",
        done: Box::new(|job| (job::path(job), "This is the schedule's job.".into())),
        ..on(name)
    })
}

pub(super) fn delete(fields: &Fields) -> Result<Action, Error> {
    let name = fields.required("schedule")?;
    Ok(Action {
        title: format!("Delete the schedule {name}"),
        effect: "It inserts no more jobs. The jobs that it has inserted stay.".into(),
        sql: format!("select supaqueue.unschedule({});", literal(name)),
        button: "Delete",
        is_final: true,
        done: Box::new(|was_there| {
            let notice = match was_there {
                "t" => "The schedule is deleted.",
                _ => "There was no such schedule any more.",
            };
            ("/schedules".into(), notice.into())
        }),
        ..on(name)
    })
}

fn set(name: &str, change: &str) -> String {
    format!(
        "update supaqueue.schedule set {change} where name = {} returning name;",
        literal(name)
    )
}

fn on(name: &str) -> Action {
    Action {
        title: String::new(),
        effect: String::new(),
        sql: String::new(),
        jobs: None,
        button: "",
        is_final: false,
        back: schedules::path(name),
        missing: format!("There is no schedule named {name} any more."),
        done: done(name, ""),
    }
}

fn done(name: &str, notice: &str) -> Done {
    let (to, notice) = (schedules::path(name), notice.to_owned());
    Box::new(move |_| (to.clone(), notice.clone()))
}
