//! What is refused, with a clear error and without a change.

use crate::house::House;

async fn check(house: &House, sql: &str, want: &str) {
    let before = (
        house.statuses().await,
        house
            .get("select count(*) from supaqueue.job_dependencies")
            .await,
    );
    let refusal = house.refusal(sql).await;
    house.run("rollback").await;
    assert!(
        refusal.contains(want),
        "{sql}\n  is refused with {refusal:?}, which does not say {want:?}"
    );
    let after = (
        house.statuses().await,
        house
            .get("select count(*) from supaqueue.job_dependencies")
            .await,
    );
    assert_eq!(after, before, "{sql}");
    house.counts_are_right().await;
}

#[tokio::test]
async fn nonsense_is_refused() {
    let house = House::new(1).await;
    house
        .run(
            "select add_jobs('q', 'running', 'a', 'b', 'c', 'd');
             select wait_for('b', 'a'), wait_for('c', 'b'), wait_for('d', 'c')",
        )
        .await;
    check(
        &house,
        "select wait_for('a', 'a')",
        "job_does_not_wait_for_itself",
    )
    .await;
    check(
        &house,
        "select wait_for('b', 'a')",
        "target_waits_for_a_source_once",
    )
    .await;
    check(
        &house,
        "select wait_for('b', 'd', 'explode')",
        "on_failure_is_fail_wait_or_continue",
    )
    .await;
    check(
        &house,
        "select wait_for('a', 'b')",
        "they would wait for each other",
    )
    .await;
    check(
        &house,
        "select wait_for('a', 'd')",
        "they would wait for each other",
    )
    .await;
    check(
        &house,
        "begin; select add_jobs('q', 'e'), wait_for('e', 'd'), wait_for('a', 'e'); commit",
        "wait for each other",
    )
    .await;
    check(
        &house,
        "begin; select wait_for('y', 'x'), wait_for('x', 'y'), add_jobs('q', 'x', 'y'); commit",
        "wait for each other",
    )
    .await;
    check(
        &house,
        "select wait_for('running', 'a')",
        "it has started or ended already (in_progress)",
    )
    .await;
    check(&house, "select wait_for('a', 'nobody')", "there is no job").await;
    check(&house, "select wait_for('nobody', 'a')", "there is no job").await;
    check(
        &house,
        "select supaqueue.enqueue('q', depends_on => array[id('nobody')])",
        "there is no job",
    )
    .await;
    check(
        &house,
        "update supaqueue.job_dependencies set source = id('d') where target = id('b')",
        "cannot change source or target",
    )
    .await;
    check(
        &house,
        "truncate supaqueue.job_dependencies",
        "cannot truncate",
    )
    .await;
}

#[tokio::test]
async fn a_target_that_was_called_or_ended_is_refused() {
    let house = House::new(1).await;
    house.run("select add_jobs('q', 'a'); update supaqueue.queue set backoff_base_ms = 60000, backoff_max_ms = 60000").await;
    house
        .run("select public.end_current_job((select id from supaqueue.current_job), true, false)")
        .await;
    house
        .run("update supaqueue.queue set is_paused = true; select add_jobs('q', 'b')")
        .await;
    assert_eq!(house.statuses().await, "a pending, b pending");
    check(
        &house,
        "select wait_for('a', 'b')",
        "it has started or ended already (pending)",
    )
    .await;
    for status in ["successful", "failed", "cancelled"] {
        house
            .run(&format!(
                "update supaqueue.job set status = '{status}' where id = id('a')"
            ))
            .await;
        check(
            &house,
            "select wait_for('a', 'b')",
            &format!("already ({status})"),
        )
        .await;
    }
}

#[tokio::test]
async fn a_dependency_deleted_in_its_own_transaction_was_never_there() {
    let house = House::new(1).await;
    house
        .run("begin; select wait_for('a', 'nobody'); delete from supaqueue.job_dependencies; select add_jobs('q', 'a'); commit")
        .await;
    assert_eq!(house.statuses().await, "a in_progress");
    house
        .run("begin; select add_jobs('q', 'b', 'c'); select wait_for('c', 'b'); delete from supaqueue.job where id = id('c'); commit")
        .await;
    assert_eq!(house.statuses().await, "a in_progress, b pending");
    house.counts_are_right().await;
}

#[tokio::test]
async fn a_long_chain_is_checked_for_a_cycle() {
    let house = House::new(0).await;
    house
        .run(
            "begin; select add_jobs('q', variadic array(select 'j' || i from generate_series(1, 3000) i));
             insert into supaqueue.job_dependencies (source, target)
             select id('j' || i), id('j' || i + 1) from generate_series(1, 2999) i; commit",
        )
        .await;
    check(
        &house,
        "select wait_for('j1', 'j3000')",
        "they would wait for each other",
    )
    .await;
}
