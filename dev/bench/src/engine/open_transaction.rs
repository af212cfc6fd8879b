//! The effect of a long open transaction, which keeps vacuum from removing dead rows.

use super::Scale;
use super::database::Server;
use super::lanes::Lanes;
use crate::Result;
use crate::numbers::median;
use crate::table::Table;

/// Measures the throughput before, during and after an open transaction.
pub(crate) async fn measure(server: &Server, scale: Scale, table: &mut Table) -> Result<()> {
    let database = server.database().await?;
    database.create_queues(&["queue"], 8).await?;
    database.enqueue(&["queue"], scale.many / 2).await?;
    let mut lanes = Lanes::of(&database).await?;
    database.vacuum().await?;

    let short = scale.open / 3;
    let before = last_third(&lanes.run(8, short).await?);

    let open = database.connect().await?;
    // Only a transaction with an id, as one that has written has, holds vacuum back.
    open.batch_execute("begin; select pg_current_xact_id()")
        .await?;
    let during = lanes.run(8, scale.open).await?;
    println!("jobs settled in each second during the open transaction: {during:?}");
    open.batch_execute("commit").await?;

    let after = lanes.run(8, scale.open).await?;
    println!("jobs settled in each second after it: {after:?}");

    let end = last_third(&during);
    let seconds = scale.open.as_secs();
    table.add(
        format!("report and start, last third of {seconds} s during an open transaction"),
        format!("{end:.0} jobs/s; {before:.0} before"),
        format!("{:.2}", end / before),
        "> 0.5",
        end / before > 0.5,
    );
    let end = last_third(&after);
    table.add(
        format!("report and start, last third of {seconds} s after it"),
        format!("{end:.0} jobs/s; {before:.0} before"),
        format!("{:.2}", end / before),
        "≥ 0.9 (recovered)",
        end / before >= 0.9,
    );
    Ok(())
}

/// The median of the last third of the seconds, without the last, incomplete one.
fn last_third(counts: &[u32]) -> f64 {
    let complete = &counts[..counts.len() - 1];
    let mut last: Vec<f64> = complete[complete.len() * 2 / 3..]
        .iter()
        .map(|count| f64::from(*count))
        .collect();
    median(&mut last)
}
