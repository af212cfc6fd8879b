//! What is refused, with a clear error and without any change.

use crate::database::AddOnDb;

/// Panics unless a statement fails with an error that contains `want` and changes nothing.
async fn check(db: &AddOnDb, sql: &str, want: &str) {
    let before = (
        db.statuses().await,
        db.get("select count(*) from supaqueue.job_dependencies")
            .await,
    );
    let refusal = db.refusal(sql).await;
    db.run("rollback").await;
    assert!(
        refusal.contains(want),
        "{sql}\n  is refused with {refusal:?}, which does not contain {want:?}"
    );
    let after = (
        db.statuses().await,
        db.get("select count(*) from supaqueue.job_dependencies")
            .await,
    );
    assert_eq!(after, before, "{sql}");
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn invalid_dependencies_are_refused() {
    let db = AddOnDb::new(1).await;
    db.run(
        "select add_jobs('q', 'running', 'a', 'b', 'c', 'd');
         select wait_for('b', 'a'), wait_for('c', 'b'), wait_for('d', 'c')",
    )
    .await;
    for (sql, want) in [
        ("select wait_for('a', 'a')", "job_does_not_wait_for_itself"),
        (
            "select wait_for('b', 'a')",
            "target_waits_for_a_source_once",
        ),
        (
            "select wait_for('b', 'd', 'explode')",
            "on_failure_is_fail_wait_or_continue",
        ),
        (
            "select wait_for('a', 'b')",
            "they would wait for each other",
        ),
        (
            "select wait_for('a', 'd')",
            "they would wait for each other",
        ),
        (
            "begin; select add_jobs('q', 'e'), wait_for('e', 'd'), wait_for('a', 'e'); commit",
            "wait for each other",
        ),
        (
            "begin; select wait_for('y', 'x'), wait_for('x', 'y'), add_jobs('q', 'x', 'y'); commit",
            "wait for each other",
        ),
        (
            "select wait_for('running', 'a')",
            "it has started or ended already (in_progress)",
        ),
        ("select wait_for('a', 'nobody')", "there is no job"),
        ("select wait_for('nobody', 'a')", "there is no job"),
        (
            "select supaqueue.enqueue('q', depends_on => array[id('nobody')])",
            "there is no job",
        ),
        (
            "update supaqueue.job_dependencies set source = id('d') where target = id('b')",
            "cannot change the source or target",
        ),
        ("truncate supaqueue.job_dependencies", "cannot truncate"),
    ] {
        check(&db, sql, want).await;
    }
}

#[tokio::test]
async fn a_target_that_has_started_or_finished_is_refused() {
    let db = AddOnDb::new(1).await;
    db.run("select add_jobs('q', 'a'); update supaqueue.queue set backoff_base_ms = 60000, backoff_max_ms = 60000").await;
    db.run("select public.end_current_job((select id from supaqueue.current_job), true, false)")
        .await;
    db.run("update supaqueue.queue set is_paused = true; select add_jobs('q', 'b')")
        .await;
    assert_eq!(db.statuses().await, "a pending, b pending");
    check(
        &db,
        "select wait_for('a', 'b')",
        "it has started or ended already (pending)",
    )
    .await;
    for status in ["successful", "failed", "cancelled"] {
        db.run(&format!(
            "update supaqueue.job set status = '{status}' where id = id('a')"
        ))
        .await;
        check(
            &db,
            "select wait_for('a', 'b')",
            &format!("already ({status})"),
        )
        .await;
    }
}

#[tokio::test]
async fn a_dependency_deleted_in_the_same_transaction_has_no_effect() {
    let db = AddOnDb::new(1).await;
    db.run("begin; select wait_for('a', 'nobody'); delete from supaqueue.job_dependencies; select add_jobs('q', 'a'); commit").await;
    assert_eq!(db.statuses().await, "a in_progress");
    db.run("begin; select add_jobs('q', 'b', 'c'); select wait_for('c', 'b'); delete from supaqueue.job where id = id('c'); commit").await;
    assert_eq!(db.statuses().await, "a in_progress, b pending");
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_long_chain_is_checked_for_a_cycle() {
    let db = AddOnDb::new(0).await;
    db.run(
        "begin; select add_jobs('q', variadic array(select 'j' || i from generate_series(1, 3000) i));
         insert into supaqueue.job_dependencies (source, target)
         select id('j' || i), id('j' || i + 1) from generate_series(1, 2999) i; commit",
    )
    .await;
    check(
        &db,
        "select wait_for('j1', 'j3000')",
        "they would wait for each other",
    )
    .await;
}
