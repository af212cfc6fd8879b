//! Measures the capacity of the machine, and derives the load from it.

use std::time::Duration;

use super::{CALL_MS, MIN_JOBS_PER_HOUR, QUEUES, WORKERS};
use crate::Result;
use crate::machine::CpuSnapshot;
use crate::project::Project;

/// The load as a fraction of the capacity. The rest lets the machine keep up while its host takes away a
/// third of the CPU time for minutes, and catch up after worse; and jobs do not have to wait in line.
const LOAD: f64 = 0.5;
/// How long jobs run before they are counted.
const WARM_UP: Duration = Duration::from_secs(5);

/// The number of jobs that finish per second while all queues are full.
pub(super) async fn capacity(project: &Project, time: Duration) -> Result<f64> {
    let seconds = u32::try_from((WARM_UP + time).as_secs())? + 2;
    let before = CpuSnapshot::now()?;
    for queue in QUEUES {
        project
            .enqueue(queue, WORKERS * seconds * 1000 / CALL_MS, CALL_MS)
            .await?;
    }
    let capacity = project
        .rate(
            "select count(*) from supaqueue.job j where j.status = 'successful'",
            WARM_UP,
            time,
        )
        .await?;
    let noise = CpuSnapshot::now()?.since(&before);
    println!("capacity: {capacity:.0} jobs/s; {noise}");
    for queue in QUEUES {
        project.drain(queue).await?;
    }
    project
        .client
        .execute("delete from supaqueue.job j where true", &[])
        .await?;
    Ok(capacity)
}

/// The rate at which jobs arrive, per second.
pub(super) fn rate(capacity: f64) -> Result<f64> {
    let rate = capacity * LOAD;
    if rate * 3600.0 < MIN_JOBS_PER_HOUR {
        return Err(format!(
            "this machine is too slow: {LOAD} of its capacity of {capacity:.1} jobs/s is {:.0} jobs per hour, \
             and the benchmark needs {MIN_JOBS_PER_HOUR}; stop other programs and run it again",
            rate * 3600.0
        )
        .into());
    }
    println!("load: {rate:.0} jobs/s, {LOAD} of the capacity");
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn a_rate_below_the_minimum_is_an_error() {
        assert!(rate(56.0).is_ok());
        assert!(rate(55.0).is_err());
    }
}
