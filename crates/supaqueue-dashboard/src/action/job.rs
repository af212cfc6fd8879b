//! Actions on jobs: on one at once, on many as an operation.

use serde_json::json;
use serde_json::value::RawValue;

use super::{Action, Done, Jobs};
use crate::error::Error;
use crate::fields::Fields;
use crate::screen::{job, operations};
use crate::sql::literal;

pub(super) fn run_now(fields: &Fields) -> Result<Action, Error> {
    let id = fields.required("job")?;
    Ok(Action {
        title: "Run the job now".into(),
        effect: "It goes before all other jobs of its queue, and starts when a worker is free."
            .into(),
        sql: format!("select supaqueue.run_now({});", literal(id)),
        button: "Run now",
        done: Box::new({
            let to = job::path(id);
            move |sentence| (to.clone(), sentence.to_owned())
        }),
        ..on(id)
    })
}

pub(super) fn retry(fields: &Fields) -> Result<Action, Error> {
    let id = fields.required("job")?;
    Ok(Action {
        title: "Retry the job".into(),
        effect: "It is pending again, with all its attempts.".into(),
        sql: format!(
            "update supaqueue.job set status = 'pending' where id = {} returning id;",
            literal(id)
        ),
        button: "Retry",
        done: done(id, "The job is pending again."),
        ..on(id)
    })
}

pub(super) fn cancel(fields: &Fields) -> Result<Action, Error> {
    let id = fields.required("job")?;
    Ok(Action {
        title: "Cancel the job".into(),
        effect: "It does not start any more. If its call is in flight, the connection to the function is closed within seconds.".into(),
        sql: format!(
            "update supaqueue.job set status = 'cancelled' where id = {} and status in ('pending', 'waiting', 'in_progress') returning id;",
            literal(id)
        ),
        button: "Cancel the job",
        missing: "The job has ended meanwhile, or was deleted.".into(),
        done: done(id, "The job is cancelled."),
        ..on(id)
    })
}

pub(super) fn delete(fields: &Fields) -> Result<Action, Error> {
    let id = fields.required("job")?;
    Ok(Action {
        title: "Delete the job".into(),
        effect: "The job, its result and its errors are gone. If its call is in flight, it is aborted within seconds.".into(),
        sql: format!("delete from supaqueue.job where id = {} returning id;", literal(id)),
        button: "Delete",
        is_final: true,
        done: Box::new(|_| ("/jobs".into(), "The job is deleted.".into())),
        ..on(id)
    })
}

/// On the jobs with an `id` among the fields, or else on those that `filter` selects.
pub(super) fn operation(action: &'static str, fields: &Fields) -> Result<Action, Error> {
    // As it was sent, so that numbers keep their digits.
    let json_of = |name: &str| -> Result<Option<String>, Error> {
        let invalid = |error| Error::Invalid(format!("The field {name} is not JSON: {error}"));
        let json = fields.get(name).map(serde_json::from_str::<&RawValue>);
        Ok(json
            .transpose()
            .map_err(invalid)?
            .map(|json| json.get().to_owned()))
    };
    let ids: Vec<&str> = fields.values("id").collect();
    let filter = match (ids.is_empty(), json_of("filter")?) {
        (false, _) => json!({ "ids": ids }).to_string(),
        (true, Some(filter)) => filter,
        (true, None) => return Err(Error::Invalid("No job is selected.".into())),
    };
    let changes = match action {
        "change" => Some(match fields.get("priority").map(str::parse::<i32>) {
            Some(Ok(priority)) => json!({ "priority": priority }).to_string(),
            Some(Err(_)) => {
                return Err(Error::Invalid("The priority is not a whole number.".into()));
            }
            None => json_of("changes")?
                .ok_or_else(|| Error::Invalid("No change is given. Enter a priority.".into()))?,
        }),
        _ => None,
    };
    let per_second = fields
        .get("per_second")
        .map(str::parse::<u32>)
        .transpose()
        .map_err(|_| Error::Invalid("Jobs per second is not a whole number.".into()))?;

    let mut columns = vec!["action", "filter"];
    let mut values = vec![literal(action), literal(&filter)];
    if let Some(changes) = &changes {
        columns.push("changes");
        values.push(literal(changes));
    }
    if let Some(per_second) = per_second {
        columns.push("per_second");
        values.push(per_second.to_string());
    }
    columns.push("created_by");
    values.push(literal("dashboard"));
    let (title, effect, button) = match action {
        "retry" => (
            "Retry jobs",
            "They are pending again, with all their attempts.",
            "Retry",
        ),
        "cancel" => (
            "Cancel jobs",
            "They do not start any more; calls in flight are aborted within seconds.",
            "Cancel the jobs",
        ),
        "delete" => (
            "Delete jobs",
            "The jobs, their results and their errors are gone.",
            "Delete",
        ),
        _ => (
            "Change jobs",
            "The jobs get the values in the statement.",
            "Change",
        ),
    };
    Ok(Action {
        title: title.into(),
        effect: format!(
            "{effect} The work is done in pieces in the background, and can be stopped."
        ),
        sql: format!(
            "insert into supaqueue.operation ({})\nvalues ({})\nreturning id;",
            columns.join(", "),
            values.join(", ")
        ),
        jobs: Some(Jobs {
            action,
            filter,
            changes,
        }),
        button,
        is_final: action == "delete",
        back: fields
            .get("back")
            .filter(|to| is_local(to))
            .unwrap_or("/jobs")
            .to_owned(),
        done: Box::new(|id| (operations::path(id), "The operation has begun.".into())),
        ..on("")
    })
}

pub(super) fn stop_operation(fields: &Fields) -> Result<Action, Error> {
    let id = fields.required("operation")?;
    let to = operations::path(id);
    Ok(Action {
        title: "Stop the operation".into(),
        effect: "What it has done stays done; the other jobs stay as they are.".into(),
        sql: format!(
            "update supaqueue.operation set status = 'stopped' where id = {} and status = 'running' returning id;",
            literal(id)
        ),
        button: "Stop",
        back: to.clone(),
        missing: "The operation has ended meanwhile.".into(),
        done: Box::new(move |_| (to.clone(), "The operation is stopped.".into())),
        ..on("")
    })
}

pub(super) fn resume_operation(fields: &Fields) -> Result<Action, Error> {
    let id = fields.required("operation")?;
    let to = operations::path(id);
    Ok(Action {
        title: "Resume the operation".into(),
        effect: "It goes on where it stopped, with the jobs that matched when it started.".into(),
        sql: format!(
            "update supaqueue.operation set status = 'running' where id = {} and status = 'stopped' returning id;",
            literal(id)
        ),
        button: "Resume",
        back: to.clone(),
        missing: "The operation is not stopped any more.".into(),
        done: Box::new(move |_| (to.clone(), "The operation goes on.".into())),
        ..on("")
    })
}

/// Whether an address is one of our own pages.
fn is_local(to: &str) -> bool {
    to.starts_with('/') && !to.starts_with("//") && !to.contains(['\\', '\n', '\r', '\t'])
}

fn on(id: &str) -> Action {
    Action {
        title: String::new(),
        effect: String::new(),
        sql: String::new(),
        jobs: None,
        button: "",
        is_final: false,
        back: job::path(id),
        missing: "There is no such job any more.".into(),
        done: done(id, ""),
    }
}

fn done(id: &str, notice: &str) -> Done {
    let (to, notice) = (job::path(id), notice.to_owned());
    Box::new(move |_| (to.clone(), notice.clone()))
}
