//! Runs the load and the faults, then checks the rules.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::load::Load;
use crate::report::{Report, Row};
use crate::rule::Facts;
use crate::wait::poll;
use crate::{Fault, Pace, Result, Scene};

/// With fewer unfinished jobs than this, most queues take new ones.
const FLOWING: i64 = 40;

/// What to do to a scene.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The faults, in this order.
    pub faults: Vec<Fault>,
    /// How long each of them lasts.
    pub time: Duration,
    /// How long jobs may take to finish after a fault before they count as stuck.
    pub patience: Duration,
}

/// Injects the faults under load.
///
/// At [`Pace::Real`], jobs settle and are checked after each fault. At [`Pace::Quick`], the faults
/// follow each other without a break, and everything is checked at the end.
///
/// # Errors
///
/// If a fault cannot be injected or the database cannot be queried.
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

/// Injects `faults` under one load and checks the rules; `first` is the number of the first fault.
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
    for (number, fault) in (first..).zip(faults) {
        scene.ledger.begin_fault(number);
        wait_for_flow(scene, plan.patience).await?;
        println!("  {}", fault.name());
        let injected = fault.inject(scene, plan.time).await;
        let violations = injected.map_err(|error| format!("{}: {error}", fault.name()))?;
        report.violations.extend(violations);
        ends.push(SystemTime::now());
    }
    load.stop().await?;
    settle(scene, plan.patience).await?;

    let facts = Facts::collect(scene, first).await?;
    report.violations.extend(facts.violations());
    for ((number, fault), end) in (first..).zip(faults).zip(ends) {
        let row = Row::of(&fault.name(), number, end, &facts);
        println!("{row}");
        report.rows.push(row);
    }
    Ok(())
}

/// Waits until new jobs are inserted again, so that the next fault does not only meet old ones.
async fn wait_for_flow(scene: &Scene, patience: Duration) -> Result<()> {
    let client = scene.connect().await?;
    let unfinished =
        "select count(*) from supaqueue.job where status in ('pending', 'waiting', 'in_progress')";
    poll(Duration::from_millis(50), patience, async || {
        let unfinished: i64 = client.query_one(unfinished, &[]).await?.get(0);
        Ok(unfinished < FLOWING)
    })
    .await?;
    Ok(())
}

/// Waits until nothing is under way. If that takes too long, the rules report what is stuck.
async fn settle(scene: &Scene, patience: Duration) -> Result<()> {
    let unsettled = "select
          (select count(*) from supaqueue.job where status in ('pending', 'waiting', 'in_progress'))
        + (select count(*) from supaqueue.current_job)
        + (select count(*) from supaqueue.worker where locked)";
    let mut client = scene.connect().await?;
    poll(Duration::from_millis(100), patience, async || {
        match client.query_one(unsettled, &[]).await {
            Ok(row) => return Ok(row.get::<_, i64>(0) == 0 && scene.proxy.held() == 0),
            Err(_) => client = scene.connect().await?,
        }
        Ok(false)
    })
    .await?;
    Ok(())
}
