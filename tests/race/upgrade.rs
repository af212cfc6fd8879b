//! An upgrade of a project in use.

use supaqueue_tests::{Db, Session};

use crate::invariants::{Check, ensure};
use crate::transactions::one_busy_worker;

/// An upgrade that meets an open transaction lets it finish first.
pub(crate) async fn an_upgrade_lets_open_transactions_finish(db: &Db) -> Check {
    db.run(&one_busy_worker("q")).await;
    let user = Session::new(db).await;
    user.run("begin").await;
    user.get("select supaqueue.enqueue('q')").await;
    let upgrader = Session::new(db).await;
    upgrader.run("begin").await;
    let upgrade = upgrader.start("select supaqueue.take_tables()");
    ensure!(
        upgrade.blocks(db).await,
        "the upgrade does not block on an open transaction"
    );
    // Everything that the upgrade may have locked before it blocked.
    for table in ["setting", "queue", "worker", "job", "current_job"] {
        let sql = format!("select from supaqueue.{table} for update");
        user.try_get(&sql).await?;
    }
    user.try_get("commit").await?;
    upgrade.finish().await?;
    upgrader.run("commit").await;
    Ok(())
}

#[tokio::test]
async fn an_upgrade_does_not_deadlock_with_an_open_transaction() {
    let db = Db::new().await;
    let outcome = an_upgrade_lets_open_transactions_finish(&db).await;
    assert_eq!(outcome, Ok(()));
}
