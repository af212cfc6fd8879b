//! What becomes of targets when a source fails, is cancelled, is deleted, or is retried.

use crate::house::House;

#[tokio::test]
async fn fail_cancels_the_target_with_the_reason_and_so_on_downwards() {
    let house = House::new(5).await;
    house
        .run(
            "begin; select add_jobs('q', 'a', 'b', 'c', 'd');
             select wait_for('b', 'a'), wait_for('c', 'b'), wait_for('d', 'c'), wait_for('d', 'a'); commit",
        )
        .await;
    house.fail("a").await;
    assert_eq!(
        house.statuses().await,
        "a failed, b cancelled, c cancelled, d cancelled"
    );
    assert_eq!(
        house
            .get(
                "select payload ->> 'name', finished_at is not null, errors #>> '{0,message}'
                 from supaqueue.job where status = 'cancelled' and payload ->> 'name' in ('b', 'c') order by 1"
            )
            .await,
        house
            .get(
                "select 'b', true, 'cancelled: it waited for job ' || id('a') || ', which failed'
                 union all select 'c', true, 'cancelled: it waited for job ' || id('b') || ', which was cancelled'"
            )
            .await
    );
    house.counts_are_right().await;
}

#[tokio::test]
async fn wait_leaves_the_target_waiting_and_a_retry_goes_on() {
    let house = House::new(5).await;
    house
        .run("begin; select add_jobs('q', 'a', 'b'), wait_for('b', 'a', 'wait'); commit")
        .await;
    house.fail("a").await;
    assert_eq!(house.statuses().await, "a failed, b waiting");
    house
        .run("update supaqueue.job set status = 'pending' where id = id('a')")
        .await;
    house.succeed("a").await;
    assert_eq!(house.statuses().await, "a successful, b in_progress");
    house.counts_are_right().await;
}

#[tokio::test]
async fn continue_runs_the_target_anyway() {
    let house = House::new(5).await;
    house
        .run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('c', 'a', 'continue'), wait_for('c', 'b'); commit")
        .await;
    house.fail("a").await;
    assert_eq!(house.statuses().await, "a failed, b in_progress, c waiting");
    assert_eq!(house.succeed("b").await, "c");
    house.counts_are_right().await;
}

#[tokio::test]
async fn on_failure_can_be_changed_after_the_failure() {
    let house = House::new(5).await;
    house.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('b', 'a', 'wait'), wait_for('c', 'b'); commit").await;
    house.fail("a").await;
    house
        .run("update supaqueue.job_dependencies set on_failure = 'continue' where target = id('b')")
        .await;
    assert_eq!(house.statuses().await, "a failed, b in_progress, c waiting");
    house.counts_are_right().await;
    house
        .run("update supaqueue.job_dependencies set on_failure = 'fail' where target = id('b')")
        .await;
    assert_eq!(
        house.statuses().await,
        "a failed, b in_progress, c waiting",
        "what has started goes on"
    );
    house.counts_are_right().await;
}

#[tokio::test]
async fn a_failed_source_cancels_what_depends_on_it_later() {
    let house = House::new(5).await;
    house.run("select add_jobs('q', 'a')").await;
    house.fail("a").await;
    house
        .run("begin; select add_jobs('q', 'b', 'c', 'd'), wait_for('b', 'a'), wait_for('c', 'b'), wait_for('d', 'a', 'continue'); commit")
        .await;
    assert_eq!(
        house.statuses().await,
        "a failed, b cancelled, c cancelled, d in_progress"
    );
    house.counts_are_right().await;
}

#[tokio::test]
async fn a_cancelled_source_counts_as_failed() {
    let house = House::new(5).await;
    house
        .run("begin; select add_jobs('q', 'a', 'b'), wait_for('b', 'a'); commit")
        .await;
    house
        .run("update supaqueue.job set status = 'cancelled' where id = id('a')")
        .await;
    assert_eq!(house.statuses().await, "a cancelled, b cancelled");
    house.counts_are_right().await;
}

#[tokio::test]
async fn a_retry_brings_back_what_the_failure_cancelled_and_nothing_else() {
    let house = House::new(5).await;
    house
        .run(
            "begin; select add_jobs('q', 'a', 'b', 'c', 'd', 'e', 'x');
             select wait_for('b', 'a'), wait_for('c', 'b'), wait_for('d', 'b'), wait_for('d', 'a'), wait_for('e', 'a'); commit;
             update supaqueue.job set status = 'cancelled' where id in (id('e'), id('x'))",
        )
        .await;
    house.fail("a").await;
    assert_eq!(
        house.statuses().await,
        "a failed, b cancelled, c cancelled, d cancelled, e cancelled, x cancelled"
    );
    house
        .run("update supaqueue.job set status = 'pending' where id = id('a')")
        .await;
    assert_eq!(
        house.statuses().await,
        "a in_progress, b waiting, c waiting, d waiting, e cancelled, x cancelled",
        "e was cancelled by a person"
    );
    house.counts_are_right().await;
    assert_eq!(house.succeed("a").await, "b");
    house.succeed("b").await;
    assert_eq!(
        house.statuses().await,
        "a successful, b successful, c in_progress, d in_progress, e cancelled, x cancelled"
    );
}

#[tokio::test]
async fn a_target_of_two_failed_sources_comes_back_with_the_second_retry() {
    let house = House::new(5).await;
    house.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('c', 'a'), wait_for('c', 'b'); commit").await;
    house.fail("a").await;
    house.fail("b").await;
    house
        .run("update supaqueue.job set status = 'pending' where id = id('a')")
        .await;
    house.succeed("a").await;
    assert_eq!(
        house.statuses().await,
        "a successful, b failed, c cancelled"
    );
    house
        .run("update supaqueue.job set status = 'pending' where id = id('b')")
        .await;
    assert_eq!(
        house.statuses().await,
        "a successful, b in_progress, c waiting"
    );
    assert_eq!(house.succeed("b").await, "c");
    house.counts_are_right().await;
}

#[tokio::test]
async fn retrying_everything_at_once_starts_only_what_has_no_unfinished_source() {
    let house = House::new(5).await;
    house.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('b', 'a'), wait_for('c', 'b'); commit").await;
    house.fail("a").await;
    house
        .run("update supaqueue.job set status = 'pending' where status in ('failed', 'cancelled')")
        .await;
    assert_eq!(
        house.statuses().await,
        "a in_progress, b waiting, c waiting"
    );
    house.counts_are_right().await;
}

#[tokio::test]
async fn a_target_retried_by_hand_runs_without_its_failed_source() {
    let house = House::new(5).await;
    house
        .run("begin; select add_jobs('q', 'a', 'b'), wait_for('b', 'a'); commit")
        .await;
    house.fail("a").await;
    house
        .run("update supaqueue.job set status = 'pending' where id = id('b')")
        .await;
    assert_eq!(house.statuses().await, "a failed, b in_progress");
    house.counts_are_right().await;
}

#[tokio::test]
async fn a_source_set_to_successful_by_hand_goes_on() {
    let house = House::new(5).await;
    house
        .run("begin; select add_jobs('q', 'a', 'b'), wait_for('b', 'a'); commit")
        .await;
    house.fail("a").await;
    house
        .run("update supaqueue.job set status = 'successful' where id = id('a')")
        .await;
    assert_eq!(house.statuses().await, "a successful, b in_progress");
    house.counts_are_right().await;
}

#[tokio::test]
async fn deleting_an_unfinished_source_does_what_on_failure_says() {
    let house = House::new(1).await;
    house
        .run(
            "begin; select add_jobs('q', 'running', 'a', 'b', 'c', 'd', 'e');
             select wait_for('b', 'a'), wait_for('c', 'a', 'wait'), wait_for('d', 'a', 'continue'), wait_for('e', 'b'); commit;
             delete from supaqueue.job where id = id('a')",
        )
        .await;
    assert_eq!(
        house.statuses().await,
        "b cancelled, c waiting, d pending, e cancelled, running in_progress"
    );
    assert_eq!(
        house
            .get("select errors #>> '{0,message}' from supaqueue.job where id = id('b')")
            .await,
        house
            .get("select 'cancelled: it waited for job ' || id('a') || ', which was deleted'")
            .await
    );
    house.counts_are_right().await;
    assert_eq!(
        house
            .get("select status from supaqueue.pipeline(id('c')) where id = id('a')")
            .await,
        "deleted",
        "a person can see what it waits for"
    );
    house
        .run("delete from supaqueue.job_dependencies where target = id('c')")
        .await;
    assert_eq!(
        house.statuses().await,
        "b cancelled, c pending, d pending, e cancelled, running in_progress"
    );
    house.counts_are_right().await;
}

#[tokio::test]
async fn deleting_a_successful_source_changes_nothing_for_its_targets() {
    let house = House::new(5).await;
    house.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('c', 'a'), wait_for('c', 'b'); commit").await;
    house.succeed("a").await;
    house
        .run("delete from supaqueue.job where id = id('a')")
        .await;
    assert_eq!(house.statuses().await, "b in_progress, c waiting");
    house.counts_are_right().await;
    assert_eq!(house.succeed("b").await, "c");
}

#[tokio::test]
async fn deleting_a_target_or_a_queue_leaves_nothing_of_it() {
    let house = House::new(5).await;
    house.queue("other", 0).await;
    house
        .run(
            "begin; select add_jobs('q', 'a', 'd'), add_jobs('other', 'b', 'c');
             select wait_for('b', 'a'), wait_for('c', 'b'), wait_for('d', 'c'); commit;
             delete from supaqueue.job where id = id('b')",
        )
        .await;
    assert_eq!(
        house.statuses().await,
        "a in_progress, c cancelled, d cancelled"
    );
    house
        .run("delete from supaqueue.queue where name = 'other'")
        .await;
    house.succeed("a").await;
    house.run("delete from supaqueue.job").await;
    assert_eq!(
        house.get("select count(*) from supaqueue.job_dependencies union all select count(*) from supaqueue.dependent_job").await,
        "0\n0"
    );
    house.run("begin; select add_jobs('q', 'x', 'y'), wait_for('y', 'x'); commit; truncate supaqueue.job cascade").await;
    assert_eq!(
        house.get("select count(*) from supaqueue.job_dependencies union all select count(*) from supaqueue.dependent_job").await,
        "0\n0"
    );
}

#[tokio::test]
async fn retention_keeps_a_source_that_somebody_waits_for() {
    let house = House::new(5).await;
    house.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('c', 'a'), wait_for('c', 'b'); commit").await;
    house.succeed("a").await;
    let old = "update supaqueue.job set finished_at = now() - interval '1 year' where finished_at is not null; select supaqueue.tick()";
    house.run(old).await;
    assert_eq!(
        house.statuses().await,
        "a successful, b in_progress, c waiting"
    );
    house.succeed("b").await;
    house.run(old).await;
    assert_eq!(
        house.statuses().await,
        "a successful, b successful, c in_progress",
        "also while the target runs"
    );
    house.succeed("c").await;
    house.run(old).await;
    assert_eq!(house.statuses().await, "null");
    assert_eq!(
        house.get("select count(*) from supaqueue.job_dependencies union all select count(*) from supaqueue.dependent_job").await,
        "0\n0"
    );
}
