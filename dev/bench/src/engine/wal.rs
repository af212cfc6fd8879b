//! What a job writes to the write-ahead log, from its insert to its success, without full pages and
//! without a payload.

use super::database::Server;
use super::lanes::Lanes;
use crate::Result;
use crate::table::Table;

const JOBS: u32 = 5000;
const MAX_BYTES: f64 = 1500.0;

pub(crate) async fn measure(server: &Server, table: &mut Table) -> Result<()> {
    let database = server.database().await?;
    let admin = database.connect_as_admin().await?;
    let set = async |value: &str| -> Result<()> {
        admin
            .batch_execute(&format!("alter system set full_page_writes = {value}"))
            .await?;
        admin.batch_execute("select pg_reload_conf()").await?;
        Ok(())
    };
    let position = async || -> Result<f64> {
        let bytes = "select (pg_current_wal_insert_lsn() - '0/0')::double precision";
        Ok(admin.query_one(bytes, &[]).await?.get(0))
    };

    database.create_queues(&["queue"], 8).await?;
    let client = database.client();
    client.batch_execute("set synchronous_commit = off").await?;
    let insert = client
        .prepare(
            "insert into supaqueue.job (queue) select id from supaqueue.queue where name = 'queue'",
        )
        .await?;
    for _ in 0..8 {
        client.execute(&insert, &[]).await?;
    }
    let mut lanes = Lanes::of(&database).await?;
    set("off").await?;
    database.vacuum().await?;
    let before = position().await?;
    for _ in 0..JOBS {
        client.execute(&insert, &[]).await?;
    }
    let inserted = position().await?;
    let settled = lanes.drain().await?;
    let after = position().await?;
    set("on").await?;
    let insert = (inserted - before) / f64::from(JOBS);
    let settle = (after - inserted) / f64::from(settled);
    table.add(
        "write-ahead log of a job",
        format!(
            "{:.0} bytes: {insert:.0} insert, {settle:.0} start and report",
            insert + settle
        ),
        format!("{:.0}", insert + settle),
        format!("≤ {MAX_BYTES} bytes"),
        insert + settle <= MAX_BYTES,
    );
    Ok(())
}
