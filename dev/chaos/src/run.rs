//! Load, faults, and the count afterwards.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::load::Load;
use crate::rule::Facts;
use crate::table::{Report, Row};
use crate::{Fault, Pace, Result, Scene, Violation};

/// With less unfinished jobs than this, more are inserted into most queues.
const FLOWING: i64 = 40;

/// What to do to a scene.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The faults, in this order.
    pub faults: Vec<Fault>,
    /// How long each goes on.
    pub time: Duration,
    /// How long jobs may take to end after a fault, before they count as stuck.
    pub patience: Duration,
}

/// Injects the faults under one load. At [`Pace::Real`] jobs settle and are counted after each
/// fault; at [`Pace::Quick`] the faults follow one another, and all is counted in the end.
pub async fn run(scene: &Arc<Scene>, plan: &Plan) -> Result<Report> {
    let mut report = Report::default();
    match scene.pace {
        Pace::Quick => episode(scene, plan, &plan.faults, 0, &mut report).await?,
        Pace::Real => {
            for (number, fault) in plan.faults.iter().enumerate() {
                episode(scene, plan, &[*fault], number, &mut report).await?;
            }
        }
    }
    Ok(report)
}

/// One load, the faults that it meets, and the count; `first` is the number of the first fault.
async fn episode(
    scene: &Arc<Scene>,
    plan: &Plan,
    faults: &[Fault],
    first: usize,
    report: &mut Report,
) -> Result<()> {
    scene.ledger.begin_fault(first);
    let load = Load::start(scene);
    let mut ends = Vec::new();
    let mut violations = Vec::new();
    for (number, fault) in (first..).zip(faults) {
        scene.ledger.begin_fault(number);
        flow(scene, plan.patience).await?;
        println!("  {}", fault.name());
        let injected = fault.inject(scene, plan.time).await;
        let found = injected.map_err(|error| format!("{}: {error}", fault.name()))?;
        violations.extend(found);
        ends.push(SystemTime::now());
    }
    load.stop().await?;
    settle(scene, plan.patience).await?;

    let facts = Facts::collect(scene, first).await?;
    violations.extend(facts.violations());
    for ((number, fault), end) in (first..).zip(faults).zip(ends) {
        report.add(Row::of(&fault.name(), number, end, &facts));
    }
    report.violations.extend(violations);
    Ok(())
}

/// Waits until the load flows again: else a fault would meet nothing but what the last one left.
async fn flow(scene: &Scene, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    let client = scene.connect().await?;
    let unfinished =
        "select count(*) from supaqueue.job where status in ('pending', 'waiting', 'in_progress')";
    while Instant::now() < deadline {
        let unfinished: i64 = client.query_one(unfinished, &[]).await?.get(0);
        if unfinished < FLOWING {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Waits until nothing is under way any more. That it never comes is for the rules to say.
async fn settle(scene: &Scene, patience: Duration) -> Result<()> {
    let deadline = Instant::now() + patience;
    let unsettled = "select
          (select count(*) from supaqueue.job where status in ('pending', 'waiting', 'in_progress'))
        + (select count(*) from supaqueue.current_job)
        + (select count(*) from supaqueue.worker where locked)";
    let mut client = scene.connect().await?;
    while Instant::now() < deadline {
        match client.query_one(unsettled, &[]).await {
            Ok(row) if row.get::<_, i64>(0) == 0 && scene.proxy.held() == 0 => return Ok(()),
            Ok(_) => {}
            Err(_) => client = scene.connect().await?,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

impl Report {
    /// What was found, or that nothing was.
    pub fn outcome(&self) -> Result<(), Vec<Violation>> {
        match self.violations.is_empty() {
            true => Ok(()),
            false => Err(self.violations.clone()),
        }
    }
}
