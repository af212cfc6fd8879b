//! Races between transactions, with the interleaving forced.

use crate::database::{AddOnDb, report};
use supaqueue_tests::Session;

/// A session with an open transaction.
async fn transaction(db: &AddOnDb) -> Session {
    let session = Session::new(db).await;
    session.run("begin").await;
    session
}

#[tokio::test]
async fn two_sources_that_end_concurrently_release_the_target_once() {
    for is_successful in [true, false] {
        let db = AddOnDb::new(5).await;
        db.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('c', 'a', 'continue'), wait_for('c', 'b', 'continue'); commit").await;
        db.acknowledge_all().await;
        let (one, other) = (transaction(&db).await, transaction(&db).await);
        assert_eq!(one.get(&report("a", is_successful)).await, "");
        let second = other.start(&report("b", true));
        assert!(
            second.blocks(&db).await,
            "the second report blocks on the first, to see its effect"
        );
        one.run("commit").await;
        assert_eq!(second.finish().await.unwrap(), "c");
        other.run("commit").await;
        assert_eq!(
            db.get("select attempts, status from supaqueue.job where id = id('c')")
                .await,
            "1|in_progress"
        );
        db.assert_counts_match_sources().await;
    }
}

#[tokio::test]
async fn a_rolled_back_report_releases_nothing() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('c', 'a'), wait_for('c', 'b'); commit").await;
    db.acknowledge_all().await;
    let (one, other) = (transaction(&db).await, transaction(&db).await);
    one.run(&report("a", true)).await;
    let second = other.start(&report("b", true));
    assert!(second.blocks(&db).await);
    one.run("rollback").await;
    assert_eq!(second.finish().await.unwrap(), "");
    other.run("commit").await;
    assert_eq!(
        db.statuses().await,
        "a in_progress, b successful, c waiting"
    );
    assert_eq!(db.succeed("a").await, "c");
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn one_source_fails_while_the_other_succeeds() {
    for first in ["a", "b"] {
        let db = AddOnDb::new(5).await;
        db.run(
            "begin; select add_jobs('q', 'a', 'b', 'c', 'd');
             select wait_for('c', 'a'), wait_for('c', 'b'), wait_for('d', 'c'), wait_for('d', 'b'); commit",
        )
        .await;
        db.acknowledge_all().await;
        let (one, other) = (transaction(&db).await, transaction(&db).await);
        let second = if first == "a" { "b" } else { "a" };
        one.run(&report(first, first == "b")).await;
        let second = other.start(&report(second, second == "b"));
        assert!(second.blocks(&db).await);
        one.run("commit").await;
        second.finish().await.unwrap();
        other.run("commit").await;
        assert_eq!(
            db.statuses().await,
            "a failed, b successful, c cancelled, d cancelled"
        );
        db.assert_counts_match_sources().await;
    }
}

#[tokio::test]
async fn a_dependency_added_while_its_source_ends_takes_the_end_into_account() {
    for (is_successful, want) in [
        (true, "a successful, t in_progress"),
        (false, "a failed, t cancelled"),
    ] {
        let db = AddOnDb::new(5).await;
        db.run("select add_jobs('q', 'a')").await;
        db.acknowledge_all().await;
        let (lane, user) = (transaction(&db).await, transaction(&db).await);
        lane.run(&report("a", is_successful)).await;
        user.run("select add_jobs('q', 't'); select wait_for('t', 'a')")
            .await;
        let commit = user.start("commit");
        assert!(commit.blocks(&db).await, "the commit blocks on the report");
        lane.run("commit").await;
        commit.finish().await.unwrap();
        assert_eq!(db.statuses().await, want);
        db.assert_counts_match_sources().await;
    }
}

#[tokio::test]
async fn a_long_transaction_that_adds_a_dependency_blocks_no_report() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'a', 'b', 't'), wait_for('t', 'b'); commit")
        .await;
    db.acknowledge_all().await;
    let user = transaction(&db).await;
    user.run("select add_jobs('q', 'n'); select wait_for('n', 'a'), wait_for('t', 'a')")
        .await;
    db.succeed("a").await;
    assert_eq!(
        db.statuses().await,
        "a successful, b in_progress, t waiting"
    );
    user.run("commit").await;
    assert_eq!(
        db.statuses().await,
        "a successful, b in_progress, n in_progress, t waiting"
    );
    db.assert_counts_match_sources().await;
    assert_eq!(db.succeed("b").await, "t");
}

#[tokio::test]
async fn a_source_that_ends_while_the_dependency_is_counted_releases_the_target() {
    let db = AddOnDb::new(5).await;
    db.run("select add_jobs('q', 'a')").await;
    db.acknowledge_all().await;
    let user = transaction(&db).await;
    user.run("select add_jobs('q', 't'); select wait_for('t', 'a'); set constraints all immediate")
        .await;
    let lane = Session::new(&db).await;
    let ended = lane.start(&report("a", true));
    assert!(
        ended.blocks(&db).await,
        "the report blocks on the counting, which has locked the source"
    );
    user.run("commit").await;
    assert_eq!(ended.finish().await.unwrap(), "t");
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_dependency_for_a_target_that_starts_meanwhile_is_refused() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'a', 't'), wait_for('t', 'a'); commit")
        .await;
    let user = transaction(&db).await;
    user.run("select add_jobs('q', 'n'); select wait_for('t', 'n')")
        .await;
    assert_eq!(db.succeed("a").await, "t");
    let refusal = user.try_get("commit").await.unwrap_err();
    assert!(
        refusal.contains("it has started or ended already (in_progress)"),
        "{refusal}"
    );
    assert_eq!(db.statuses().await, "a successful, t in_progress");
    db.assert_counts_match_sources().await;
}

/// The dispatch of a transaction holds locks of queues: it must not block on a job whose report
/// needs those locks.
#[tokio::test]
async fn adding_jobs_and_a_dependency_on_a_job_being_reported_does_not_deadlock() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'a', 't'), wait_for('t', 'a'); commit")
        .await;
    db.acknowledge_all().await;
    let (holder, user, lane) = (
        transaction(&db).await,
        transaction(&db).await,
        Session::new(&db).await,
    );
    // The report is stopped between settling its job and freeing its worker.
    holder
        .run("select from supaqueue.dependent_job where id = id('t') for update")
        .await;
    let ended = lane.start(&report("a", false));
    assert!(ended.blocks(&db).await);
    user.run("select add_jobs('q', 'm', 'n'); select wait_for('n', 'a', 'continue')")
        .await;
    let commit = user.start("commit");
    assert!(commit.blocks(&db).await);
    holder.run("commit").await;
    ended.finish().await.unwrap();
    commit.finish().await.unwrap();
    assert_eq!(
        db.statuses().await,
        "a failed, m in_progress, n in_progress, t cancelled"
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_dependency_between_two_targets_of_a_job_being_reported_does_not_deadlock() {
    for (source, target) in [("t", "u"), ("u", "t")] {
        let db = AddOnDb::new(5).await;
        db.run("begin; select add_jobs('q', 'a', 't', 'u'), wait_for('t', 'a'), wait_for('u', 'a'); commit").await;
        db.acknowledge_all().await;
        let (holder, user, lane) = (
            transaction(&db).await,
            Session::new(&db).await,
            Session::new(&db).await,
        );
        // The report has locked the counts and blocks on one of the targets.
        holder
            .run("select from supaqueue.job where id = id('u') for update")
            .await;
        let ended = lane.start(&report("a", true));
        assert!(ended.blocks(&db).await);
        let added = user.start(&format!("select wait_for('{target}', '{source}')"));
        assert!(added.blocks(&db).await);
        holder.run("commit").await;
        ended.finish().await.unwrap();
        let refusal = added.finish().await.unwrap_err();
        assert!(
            refusal.contains("has started or ended already"),
            "{refusal}"
        );
        assert_eq!(
            db.statuses().await,
            "a successful, t in_progress, u in_progress"
        );
        db.assert_counts_match_sources().await;
    }
}

/// A transaction that blocked on a target keeps no lock of it: the report on which it blocks next
/// needs that target.
#[tokio::test]
async fn two_transactions_that_make_one_target_wait_do_not_deadlock() {
    let db = AddOnDb::new(2).await;
    db.run("select add_jobs('q', 'a', 'b', 't')").await;
    let (one, other, holder) = (
        transaction(&db).await,
        transaction(&db).await,
        transaction(&db).await,
    );
    one.run("select wait_for('t', 'a')").await;
    let added = other.start("select wait_for('t', 'b')");
    assert!(
        added.blocks(&db).await,
        "both transactions hold the pending target"
    );
    one.run("commit").await;
    added.finish().await.unwrap();
    // The report of b is in progress, and that of a releases the target.
    holder
        .run("select from supaqueue.job where id = id('b') for update")
        .await;
    let commit = other.start("commit");
    assert!(commit.blocks(&db).await);
    assert_eq!(db.succeed("a").await, "t");
    holder.run("commit").await;
    let refusal = commit.finish().await.unwrap_err();
    assert!(
        refusal.contains("has started or ended already (in_progress)"),
        "{refusal}"
    );
    db.assert_counts_match_sources().await;
}

/// A job that is waiting when the counting begins may be called before the counting reaches it: the
/// report of that call needs the counts that are locked by then.
#[tokio::test]
async fn a_job_that_starts_while_its_dependencies_are_counted_does_not_deadlock() {
    for (dependencies, refused) in [
        ("select wait_for('t', 'n'), wait_for('w', 'n')", true),
        (
            "select wait_for('n', 't', 'continue'), wait_for('w', 'n')",
            false,
        ),
    ] {
        let db = AddOnDb::new(5).await;
        db.run("begin; select add_jobs('q', 'a', 't', 'w', 'z'), wait_for('t', 'a'), wait_for('w', 't', 'wait'), wait_for('w', 'z'); commit").await;
        assert_eq!(
            db.get("select id('t') < id('w')").await,
            "t",
            "the count of t is locked first"
        );
        db.acknowledge_all().await;
        let (first, holder, user, lane) = (
            transaction(&db).await,
            transaction(&db).await,
            transaction(&db).await,
            Session::new(&db).await,
        );
        // The report of a starts t; the user's commit still sees t waiting and reaches its count.
        assert_eq!(first.get(&report("a", true)).await, "t");
        holder
            .run("select from supaqueue.dependent_job where id = id('w') for update")
            .await;
        user.run(&format!("select add_jobs('q', 'n'); {dependencies}"))
            .await;
        let commit = user.start("commit");
        assert!(
            commit.blocks(&db).await,
            "the commit blocks on the count of t"
        );
        first.run("commit").await;
        assert!(
            commit.blocks_on(&db, &holder).await,
            "the commit blocks on the count of w"
        );
        // It succeeds, which affects the count of w.
        let ended = lane.start(&report("t", true));
        assert!(ended.blocks_on(&db, &user).await);
        holder.run("commit").await;
        ended.finish().await.unwrap();
        match (commit.finish().await, refused) {
            (Err(refusal), true) => assert!(
                refusal.contains("has started or ended already"),
                "{refusal}"
            ),
            (Ok(_), false) => {}
            (other, _) => panic!("{dependencies}: {other:?}"),
        }
        db.assert_counts_match_sources().await;
    }
}

#[tokio::test]
async fn two_transactions_cannot_close_a_cycle() {
    let db = AddOnDb::new(1).await;
    db.run(
        "begin; select add_jobs('q', 'first', 'a', 'b', 'c', 'd');
         select wait_for(t, 'first') from unnest(array['a', 'b', 'c', 'd']) t;
         select wait_for('b', 'a'), wait_for('d', 'c'); commit",
    )
    .await;
    let (one, other) = (transaction(&db).await, transaction(&db).await);
    one.run("select wait_for('c', 'b')").await;
    other.run("select wait_for('a', 'd')").await;
    one.run("set constraints all immediate").await;
    let second = other.start("commit");
    assert!(
        second.blocks(&db).await,
        "transactions that add dependencies take turns"
    );
    one.run("commit").await;
    let refusal = second.finish().await.unwrap_err();
    assert!(
        refusal.contains("they would wait for each other"),
        "{refusal}"
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_transaction_with_an_old_snapshot_cannot_close_a_cycle() {
    let db = AddOnDb::new(1).await;
    db.run("begin; select add_jobs('q', 'first', 'a', 'b'), wait_for('a', 'first'), wait_for('b', 'first'); commit").await;
    let old = Session::new(&db).await;
    old.run("begin isolation level repeatable read; select wait_for('b', 'a')")
        .await;
    db.run("select wait_for('a', 'b')").await;
    let refusal = old.try_get("commit").await.unwrap_err();
    assert!(
        refusal.starts_with("40001"),
        "not a serialization failure, which can be retried: {refusal}"
    );
    assert_eq!(
        db.get("select count(*) from supaqueue.job_dependencies")
            .await,
        "3"
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn two_transactions_cannot_close_a_cycle_of_pending_jobs() {
    let db = AddOnDb::new(1).await;
    db.run("select add_jobs('q', 'first', 'a', 'b')").await;
    let (one, other) = (transaction(&db).await, transaction(&db).await);
    one.run("select wait_for('b', 'a')").await;
    other.run("select wait_for('a', 'b')").await;
    let (first, second) = (one.start("commit"), other.start("commit"));
    let (first, second) = (first.finish().await, second.finish().await);
    assert!(first.is_ok() != second.is_ok(), "{first:?}, {second:?}");
    assert_eq!(
        db.get("select count(*) from supaqueue.job_dependencies")
            .await,
        "1"
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_dependency_on_a_source_being_deleted_is_refused() {
    let db = AddOnDb::new(1).await;
    db.run("select add_jobs('q', 'first', 'a')").await;
    let (one, other) = (transaction(&db).await, transaction(&db).await);
    one.run("delete from supaqueue.job where id = id('a')")
        .await;
    other
        .run("select add_jobs('q', 't'); select wait_for('t', 'a')")
        .await;
    let commit = other.start("commit");
    assert!(commit.blocks(&db).await);
    one.run("commit").await;
    let refusal = commit.finish().await.unwrap_err();
    assert!(refusal.contains("there is no job"), "{refusal}");
    assert_eq!(db.statuses().await, "first in_progress");
}

#[tokio::test]
async fn deleting_a_target_while_its_last_source_ends_does_not_deadlock() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'a', 'b', 't', 'u'), wait_for('t', 'a'), wait_for('u', 't', 'continue'), wait_for('u', 'b'); commit").await;
    db.acknowledge_all().await;
    let (user, lane) = (transaction(&db).await, Session::new(&db).await);
    user.run("select from supaqueue.job where id = id('t') for update")
        .await;
    let ended = lane.start(&report("a", true));
    assert!(ended.blocks(&db).await);
    user.run("delete from supaqueue.job where id = id('t'); commit")
        .await;
    ended.finish().await.unwrap();
    assert_eq!(
        db.statuses().await,
        "a successful, b in_progress, u waiting"
    );
    // The id can be used again, whatever is left of the deleted job's count.
    db.run("begin; select add_jobs('q', 't'), wait_for('t', 'b'); commit")
        .await;
    assert_eq!(
        db.statuses().await,
        "a successful, b in_progress, t waiting, u waiting"
    );
    db.succeed("b").await;
    assert_eq!(
        db.statuses().await,
        "a successful, b successful, t in_progress, u in_progress"
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn reports_that_release_the_same_targets_do_not_deadlock() {
    let db = AddOnDb::new(40).await;
    db.run(
        "begin; select add_jobs('q', variadic array(select 's' || i from generate_series(1, 40) i));
         select add_jobs('q', variadic array(select 't' || i from generate_series(1, 40) i));
         insert into supaqueue.job_dependencies (source, target)
         select id('s' || i), id('t' || j) from generate_series(1, 40) i, generate_series(1, 40) j order by random(); commit",
    )
    .await;
    db.acknowledge_all().await;
    let mut lanes = Vec::new();
    for lane in 0..8 {
        let session = Session::new(&db).await;
        lanes.push(tokio::spawn(async move {
            for job in 0..5 {
                session
                    .try_get(&report(&format!("s{}", lane * 5 + job + 1), true))
                    .await?;
            }
            Ok::<_, String>(())
        }));
    }
    for lane in lanes {
        lane.await.unwrap().unwrap();
    }
    assert_eq!(
        db.get("select status, attempts, count(*) from supaqueue.job where payload ->> 'name' like 't%' group by 1, 2").await,
        "in_progress|1|40"
    );
    db.assert_counts_match_sources().await;
}
