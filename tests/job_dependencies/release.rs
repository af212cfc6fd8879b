//! A target waits, and starts when its last source succeeds.

use crate::database::AddOnDb;

#[tokio::test]
async fn a_target_waits_until_all_its_sources_are_successful() {
    let db = AddOnDb::new(10).await;
    db.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('c', 'a'), wait_for('c', 'b'); commit").await;
    assert_eq!(
        db.statuses().await,
        "a in_progress, b in_progress, c waiting"
    );
    assert_eq!(db.succeed("a").await, "");
    assert_eq!(
        db.statuses().await,
        "a successful, b in_progress, c waiting"
    );
    assert_eq!(
        db.succeed("b").await,
        "c",
        "the report of the last source returns the target as its next job"
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn targets_in_another_queue_start_with_the_report_of_their_last_source() {
    let db = AddOnDb::new(10).await;
    db.queue("other", 10).await;
    db.run(
        "begin; select add_jobs('q', 'a', 'b'), add_jobs('other', 'x', 'y');
         select wait_for('x', 'a'), wait_for('x', 'b'), wait_for('y', 'a'), wait_for('y', 'b'); commit",
    )
    .await;
    assert_eq!(db.succeed("b").await, "");
    assert_eq!(
        db.statuses().await,
        "a in_progress, b successful, x waiting, y waiting"
    );
    assert_eq!(
        db.succeed("a").await,
        "",
        "a lane only gets jobs of its own queue"
    );
    assert_eq!(
        db.statuses().await,
        "a successful, b successful, x in_progress, y in_progress",
        "the targets start in the transaction of the report"
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn jobs_and_dependencies_may_be_inserted_in_any_order() {
    for order in [
        "select add_jobs('q', 'a', 'b'); select wait_for('b', 'a')",
        "select add_jobs('q', 'b', 'a'); select wait_for('b', 'a')",
        "select wait_for('b', 'a'); select add_jobs('q', 'a', 'b')",
        "select wait_for('b', 'a'); select add_jobs('q', 'b'); select add_jobs('q', 'a')",
        "select add_jobs('q', 'b'); select wait_for('b', 'a'); select add_jobs('q', 'a')",
        "savepoint s; select wait_for('b', 'a'); rollback to s; select wait_for('b', 'a'); select add_jobs('q', 'a', 'b')",
        "select add_jobs('q', 'b'); savepoint s; select wait_for('b', 'z'); rollback to s; select wait_for('b', 'a'), add_jobs('q', 'a')",
        "savepoint s; select add_jobs('q', 'a', 'b'); release s; savepoint t; select wait_for('b', 'a'); release t",
        "select supaqueue.set_workers('q', 6); select add_jobs('q', 'a', 'b'); select wait_for('b', 'a')",
    ] {
        let db = AddOnDb::new(5).await;
        db.run(&format!("begin; {order}; commit")).await;
        assert_eq!(db.statuses().await, "a in_progress, b waiting", "{order}");
        assert_eq!(db.succeed("a").await, "b", "{order}");
        db.assert_counts_match_sources().await;
    }
}

#[tokio::test]
async fn nothing_starts_before_the_commit() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'a', 'b'); select wait_for('b', 'a')")
        .await;
    assert_eq!(db.statuses().await, "a pending, b waiting");
    db.run("commit").await;
    assert_eq!(db.statuses().await, "a in_progress, b waiting");
}

#[tokio::test]
async fn a_dependency_on_a_successful_source_does_not_delay_the_target() {
    let db = AddOnDb::new(5).await;
    db.run("select add_jobs('q', 'a')").await;
    db.succeed("a").await;
    db.run("begin; select add_jobs('q', 'b'), wait_for('b', 'a'); commit")
        .await;
    assert_eq!(db.statuses().await, "a successful, b in_progress");
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_running_job_can_make_a_waiting_job_wait_for_new_ones() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'split', 'combine'), wait_for('combine', 'split'); commit")
        .await;
    db.run(
        "begin; select add_jobs('q', 'part1', 'part2');
         select wait_for('combine', 'part1'), wait_for('combine', 'part2'), wait_for('part2', 'split'); commit",
    )
    .await;
    assert_eq!(
        db.statuses().await,
        "combine waiting, part1 in_progress, part2 waiting, split in_progress"
    );
    assert_eq!(db.succeed("split").await, "part2");
    db.succeed("part1").await;
    assert_eq!(
        db.statuses().await,
        "combine waiting, part1 successful, part2 in_progress, split successful"
    );
    assert_eq!(db.succeed("part2").await, "combine");
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_pending_job_that_has_not_started_can_be_made_to_wait() {
    let db = AddOnDb::new(1).await;
    db.run("select add_jobs('q', 'a', 'b')").await;
    assert_eq!(db.statuses().await, "a in_progress, b pending");
    db.run("select wait_for('b', 'a')").await;
    assert_eq!(db.statuses().await, "a in_progress, b waiting");
    assert_eq!(db.succeed("a").await, "b");
}

#[tokio::test]
async fn deleting_its_last_dependency_releases_a_target() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('c', 'a'), wait_for('c', 'b'); commit").await;
    db.run("delete from supaqueue.job_dependencies where source = id('a')")
        .await;
    assert_eq!(
        db.statuses().await,
        "a in_progress, b in_progress, c waiting"
    );
    db.run("delete from supaqueue.job_dependencies where source = id('b')")
        .await;
    assert_eq!(
        db.statuses().await,
        "a in_progress, b in_progress, c in_progress"
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_target_released_by_hand_starts_once() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'a', 'b'), wait_for('b', 'a'); commit")
        .await;
    db.run("update supaqueue.job set status = 'pending' where id = id('b')")
        .await;
    assert_eq!(db.statuses().await, "a in_progress, b in_progress");
    db.succeed("a").await;
    assert_eq!(db.statuses().await, "a successful, b in_progress");
    assert_eq!(
        db.get("select attempts from supaqueue.job where id = id('b')")
            .await,
        "1"
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn retrying_a_source_makes_targets_wait_that_have_not_started() {
    let db = AddOnDb::new(1).await;
    db.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('b', 'a'), wait_for('c', 'a'); commit").await;
    assert_eq!(db.succeed("a").await, "b");
    assert_eq!(
        db.statuses().await,
        "a successful, b in_progress, c pending"
    );
    db.run("update supaqueue.job set status = 'pending' where id = id('a')")
        .await;
    assert_eq!(
        db.statuses().await,
        "a pending, b in_progress, c waiting",
        "a started target is left alone"
    );
    db.succeed("b").await;
    db.succeed("a").await;
    assert_eq!(
        db.statuses().await,
        "a successful, b successful, c in_progress"
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_source_that_ends_in_the_transaction_that_adds_the_dependency_counts_once() {
    let db = AddOnDb::new(5).await;
    db.run("select add_jobs('q', 'a', 'b')").await;
    db.acknowledge_all().await;
    db.run(&format!(
        "begin; select add_jobs('q', 'c'); select wait_for('c', 'a'), wait_for('c', 'b'); {}; commit",
        crate::database::report("a", true)
    ))
    .await;
    assert_eq!(
        db.statuses().await,
        "a successful, b in_progress, c waiting"
    );
    db.assert_counts_match_sources().await;
    db.run(&format!(
        "begin; delete from supaqueue.job_dependencies where source = id('b'); {}; commit",
        crate::database::report("b", false)
    ))
    .await;
    assert_eq!(
        db.statuses().await,
        "a successful, b failed, c in_progress",
        "c no longer waits for b"
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_fan_out_of_ten_thousand_takes_seconds() {
    let db = AddOnDb::new(5).await;
    let started = std::time::Instant::now();
    db.run(
        "begin;
         select add_jobs('q', variadic array(select 'j' || i from generate_series(0, 10001) i));
         insert into supaqueue.job_dependencies (source, target) select id('j0'), id('j' || i) from generate_series(1, 10000) i;
         insert into supaqueue.job_dependencies (source, target) select id('j' || i), id('j10001') from generate_series(1, 10000) i;
         commit",
    )
    .await;
    db.succeed("j0").await;
    db.propagate().await;
    let fan = "select count(*) filter (where status = 'waiting'), count(*) filter (where status = 'successful') from supaqueue.job";
    assert_eq!(db.get(fan).await, "1|1");
    db.run("update supaqueue.job set status = 'cancelled' where status = 'pending'")
        .await;
    db.propagate().await;
    db.assert_counts_match_sources().await;
    // Not a benchmark: with a cost that is quadratic in the fan-out, this would take minutes.
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}
