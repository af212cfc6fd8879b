//! An upgrade of a project that is at work.

use supaqueue_tests::Db;

use crate::change::one_busy_worker;
use crate::claim::{Claim, claim};
use crate::session::Session;

/// An upgrade that meets an open transaction lets it go on, and comes after it.
pub(crate) async fn an_upgrade_lets_transactions_go_on(db: &Db) -> Claim {
    db.run(&one_busy_worker("q")).await;
    let user = Session::new(db).await;
    user.run("begin").await;
    user.get("select supaqueue.enqueue('q')").await;
    let upgrader = Session::new(db).await;
    upgrader.run("begin").await;
    let upgrade = upgrader.start("select supaqueue.take_tables()");
    claim!(
        upgrade.waits(db).await,
        "an upgrade does not wait for a transaction that is open"
    );
    // All that it can have locked before it had to wait.
    for table in ["setting", "queue", "worker", "job", "current_job"] {
        let sql = format!("select from supaqueue.{table} for update");
        user.ask(&sql).await?;
    }
    user.ask("commit").await?;
    upgrade.end().await?;
    upgrader.run("commit").await;
    Ok(())
}

#[tokio::test]
async fn no_transaction_ends_in_a_deadlock_with_an_upgrade() {
    let db = Db::new().await;
    let outcome = an_upgrade_lets_transactions_go_on(&db).await;
    assert_eq!(outcome, Ok(()));
}
