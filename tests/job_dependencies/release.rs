//! A target waits, and starts when its last source is successful.

use crate::house::House;

#[tokio::test]
async fn a_target_waits_until_all_its_sources_are_successful() {
    let house = House::new(10).await;
    house.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('c', 'a'), wait_for('c', 'b'); commit").await;
    assert_eq!(
        house.statuses().await,
        "a in_progress, b in_progress, c waiting"
    );
    assert_eq!(house.succeed("a").await, "");
    assert_eq!(
        house.statuses().await,
        "a successful, b in_progress, c waiting"
    );
    assert_eq!(
        house.succeed("b").await,
        "c",
        "the report of the last source hands out the target"
    );
    house.counts_are_right().await;
}

#[tokio::test]
async fn many_sources_and_many_targets_across_queues() {
    let house = House::new(10).await;
    house.queue("other", 10).await;
    house
        .run(
            "begin; select add_jobs('q', 'a', 'b'), add_jobs('other', 'x', 'y');
             select wait_for('x', 'a'), wait_for('x', 'b'), wait_for('y', 'a'), wait_for('y', 'b'); commit",
        )
        .await;
    assert_eq!(house.succeed("b").await, "");
    assert_eq!(
        house.statuses().await,
        "a in_progress, b successful, x waiting, y waiting"
    );
    assert_eq!(
        house.succeed("a").await,
        "",
        "the lane works for its own queue"
    );
    assert_eq!(
        house.statuses().await,
        "a successful, b successful, x in_progress, y in_progress",
        "the targets have started in the transaction of the report"
    );
    house.counts_are_right().await;
}

#[tokio::test]
async fn jobs_and_dependencies_come_in_any_order_within_a_transaction() {
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
        let house = House::new(5).await;
        house.run(&format!("begin; {order}; commit")).await;
        assert_eq!(
            house.statuses().await,
            "a in_progress, b waiting",
            "{order}"
        );
        assert_eq!(house.succeed("a").await, "b", "{order}");
        house.counts_are_right().await;
    }
}

#[tokio::test]
async fn nothing_starts_before_the_end_of_the_transaction() {
    let house = House::new(5).await;
    house
        .run("begin; select add_jobs('q', 'a', 'b'); select wait_for('b', 'a')")
        .await;
    assert_eq!(house.statuses().await, "a pending, b waiting");
    house.run("commit").await;
    assert_eq!(house.statuses().await, "a in_progress, b waiting");
}

#[tokio::test]
async fn a_dependency_on_a_successful_source_holds_nothing_up() {
    let house = House::new(5).await;
    house.run("select add_jobs('q', 'a')").await;
    house.succeed("a").await;
    house
        .run("begin; select add_jobs('q', 'b'), wait_for('b', 'a'); commit")
        .await;
    assert_eq!(house.statuses().await, "a successful, b in_progress");
    house.counts_are_right().await;
}

#[tokio::test]
async fn a_running_job_may_make_a_waiting_job_wait_for_new_ones() {
    let house = House::new(5).await;
    house
        .run(
            "begin; select add_jobs('q', 'split', 'combine'), wait_for('combine', 'split'); commit",
        )
        .await;
    house
        .run(
            "begin; select add_jobs('q', 'part1', 'part2');
             select wait_for('combine', 'part1'), wait_for('combine', 'part2'), wait_for('part2', 'split'); commit",
        )
        .await;
    assert_eq!(
        house.statuses().await,
        "combine waiting, part1 in_progress, part2 waiting, split in_progress"
    );
    assert_eq!(house.succeed("split").await, "part2");
    house.succeed("part1").await;
    assert_eq!(
        house.statuses().await,
        "combine waiting, part1 successful, part2 in_progress, split successful"
    );
    assert_eq!(house.succeed("part2").await, "combine");
    house.counts_are_right().await;
}

#[tokio::test]
async fn a_pending_job_that_has_not_started_can_be_made_to_wait() {
    let house = House::new(1).await;
    house.run("select add_jobs('q', 'a', 'b')").await;
    assert_eq!(house.statuses().await, "a in_progress, b pending");
    house.run("select wait_for('b', 'a')").await;
    assert_eq!(house.statuses().await, "a in_progress, b waiting");
    assert_eq!(house.succeed("a").await, "b");
}

#[tokio::test]
async fn deleting_a_dependency_releases_what_waits_for_nothing_else() {
    let house = House::new(5).await;
    house.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('c', 'a'), wait_for('c', 'b'); commit").await;
    house
        .run("delete from supaqueue.job_dependencies where source = id('a')")
        .await;
    assert_eq!(
        house.statuses().await,
        "a in_progress, b in_progress, c waiting"
    );
    house
        .run("delete from supaqueue.job_dependencies where source = id('b')")
        .await;
    assert_eq!(
        house.statuses().await,
        "a in_progress, b in_progress, c in_progress"
    );
    house.counts_are_right().await;
}

#[tokio::test]
async fn a_target_released_by_hand_starts_once() {
    let house = House::new(5).await;
    house
        .run("begin; select add_jobs('q', 'a', 'b'), wait_for('b', 'a'); commit")
        .await;
    house
        .run("update supaqueue.job set status = 'pending' where id = id('b')")
        .await;
    assert_eq!(house.statuses().await, "a in_progress, b in_progress");
    house.succeed("a").await;
    assert_eq!(house.statuses().await, "a successful, b in_progress");
    assert_eq!(
        house
            .get("select attempts from supaqueue.job where id = id('b')")
            .await,
        "1"
    );
    house.counts_are_right().await;
}

#[tokio::test]
async fn a_retry_of_a_source_is_waited_for_by_what_has_not_started() {
    let house = House::new(1).await;
    house.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('b', 'a'), wait_for('c', 'a'); commit").await;
    assert_eq!(house.succeed("a").await, "b");
    assert_eq!(
        house.statuses().await,
        "a successful, b in_progress, c pending"
    );
    house
        .run("update supaqueue.job set status = 'pending' where id = id('a')")
        .await;
    assert_eq!(
        house.statuses().await,
        "a pending, b in_progress, c waiting",
        "what has started goes on"
    );
    house.succeed("b").await;
    house.succeed("a").await;
    assert_eq!(
        house.statuses().await,
        "a successful, b successful, c in_progress"
    );
    house.counts_are_right().await;
}

#[tokio::test]
async fn a_source_that_ends_in_the_transaction_that_adds_the_dependency_counts_once() {
    let house = House::new(5).await;
    house.run("select add_jobs('q', 'a', 'b')").await;
    house
        .run(&format!(
            "begin; select add_jobs('q', 'c'); select wait_for('c', 'a'), wait_for('c', 'b'); {}; commit",
            crate::house::report("a", true)
        ))
        .await;
    assert_eq!(
        house.statuses().await,
        "a successful, b in_progress, c waiting"
    );
    house.counts_are_right().await;
    house
        .run(&format!(
            "begin; delete from supaqueue.job_dependencies where source = id('b'); {}; commit",
            crate::house::report("b", false)
        ))
        .await;
    assert_eq!(
        house.statuses().await,
        "a successful, b failed, c in_progress",
        "it did not wait for b any more"
    );
    house.counts_are_right().await;
}

#[tokio::test]
async fn a_fan_of_ten_thousand_goes_through_in_a_few_seconds() {
    let house = House::new(5).await;
    let started = std::time::Instant::now();
    house
        .run(
            "begin;
             select add_jobs('q', variadic array(select 'j' || i from generate_series(0, 10001) i));
             insert into supaqueue.job_dependencies (source, target) select id('j0'), id('j' || i) from generate_series(1, 10000) i;
             insert into supaqueue.job_dependencies (source, target) select id('j' || i), id('j10001') from generate_series(1, 10000) i;
             commit",
        )
        .await;
    house.succeed("j0").await;
    let fan = "select count(*) filter (where status = 'waiting'), count(*) filter (where status = 'successful') from supaqueue.job";
    assert_eq!(house.get(fan).await, "1|1");
    house
        .run("update supaqueue.job set status = 'cancelled' where status = 'pending'")
        .await;
    house.counts_are_right().await;
    // Not a measurement: a cost that grows with the square of the fan would take minutes.
    assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
}
