//! Finds out which load the machine holds.

use std::time::Duration;

use super::{CALL_MS, JOBS_PER_HOUR, QUEUES, WORKERS};
use crate::Result;
use crate::machine::Moment;
use crate::project::Project;

/// The part of what the machine held that jobs then arrive at: what is left lets it go on where its host
/// takes a third of the processors away for minutes, and catch up after a worse moment; and a job that
/// arrives does not wait for those before it.
const PART: f64 = 0.5;
/// How long jobs run before they are counted, so that the start is not.
const WARM_UP: Duration = Duration::from_secs(5);

/// Jobs that end per second while all queues have more than they can do.
pub(super) async fn held(project: &Project, time: Duration) -> Result<f64> {
    let seconds = u32::try_from((WARM_UP + time).as_secs())? + 2;
    let before = Moment::now()?;
    for queue in QUEUES {
        project
            .enqueue(queue, WORKERS * seconds * 1000 / CALL_MS, CALL_MS)
            .await?;
    }
    let held = project
        .rate(
            "select count(*) from supaqueue.job j where j.status = 'successful'",
            WARM_UP,
            time,
        )
        .await?;
    let disturbance = Moment::now()?.since(&before);
    println!("the machine holds {held:.0} jobs/s; {disturbance}");
    for queue in QUEUES {
        project.drain(queue).await?;
    }
    project
        .client
        .execute("delete from supaqueue.job j where true", &[])
        .await?;
    Ok(held)
}

/// The rate at which jobs are to arrive, per second.
pub(super) fn rate(held: f64) -> Result<f64> {
    let rate = held * PART;
    if rate * 3600.0 < JOBS_PER_HOUR {
        return Err(format!(
            "cannot bring {JOBS_PER_HOUR} jobs in an hour: the machine holds {held:.1} jobs/s now, and {PART} \
             of that are {:.0} in an hour; end what else uses it, and run this again",
            rate * 3600.0
        )
        .into());
    }
    println!("jobs arrive at {rate:.0} per second, {PART} of that");
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn a_rate_that_an_hour_is_too_short_for_is_refused() {
        assert!(rate(56.0).is_ok());
        assert!(rate(55.0).is_err());
    }
}
