//! A transaction left open beside a busy queue, which keeps vacuum from removing anything.

use super::Scale;
use super::lanes::Lanes;
use super::project::Project;
use crate::Result;
use crate::table::{Table, median};

/// Throughput before, while and after a transaction is open.
pub(crate) async fn beside(project: &Project, scale: Scale, table: &mut Table) -> Result<()> {
    let stage = project.database().await?;
    stage.queues(&["queue"], 8).await?;
    stage.enqueue(&["queue"], scale.many / 2).await?;
    let mut lanes = Lanes::of(&stage).await?;
    stage.settle_down().await?;

    let short = scale.open / 3;
    let before = last_third(&lanes.run(8, short).await?);

    let open = stage.connect().await?;
    // With an id, as a transaction that has written something: without one it holds nothing back.
    open.batch_execute("begin; select pg_current_xact_id()")
        .await?;
    let beside = lanes.run(8, scale.open).await?;
    println!("jobs settled in each second beside an open transaction: {beside:?}");
    open.batch_execute("commit").await?;

    let after = lanes.run(8, scale.open).await?;
    println!("and after it: {after:?}");

    let end = last_third(&beside);
    let seconds = scale.open.as_secs();
    table.add(
        format!("settle-and-next in the last third of {seconds} s beside an open transaction"),
        format!("{end:.0} per second; {before:.0} before"),
        format!("{:.2}", end / before),
        "> 0.5",
        end / before > 0.5,
    );
    let end = last_third(&after);
    table.add(
        format!("and in the last third of the {seconds} s after it"),
        format!("{end:.0} per second; {before:.0} before"),
        format!("{:.2}", end / before),
        "recovered (≥ 0.9)",
        end / before >= 0.9,
    );
    Ok(())
}

/// The median second of the last third; the last one is not whole.
fn last_third(counts: &[u32]) -> f64 {
    let whole = &counts[..counts.len() - 1];
    let mut last: Vec<f64> = whole[whole.len() * 2 / 3..]
        .iter()
        .map(|count| f64::from(*count))
        .collect();
    median(&mut last)
}
