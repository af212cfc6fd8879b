//! What happens to targets when a source fails, is cancelled, deleted, or retried.

use crate::database::AddOnDb;

#[tokio::test]
async fn fail_cancels_the_target_and_its_targets_with_the_reason() {
    let db = AddOnDb::new(5).await;
    db.run(
        "begin; select add_jobs('q', 'a', 'b', 'c', 'd');
         select wait_for('b', 'a'), wait_for('c', 'b'), wait_for('d', 'c'), wait_for('d', 'a'); commit",
    )
    .await;
    db.fail("a").await;
    assert_eq!(
        db.statuses().await,
        "a failed, b cancelled, c cancelled, d cancelled"
    );
    assert_eq!(
        db.get(
            "select payload ->> 'name', finished_at is not null, errors #>> '{0,message}'
             from supaqueue.job where status = 'cancelled' and payload ->> 'name' in ('b', 'c') order by 1"
        )
        .await,
        db.get(
            "select 'b', true, 'cancelled: it waited for job ' || id('a') || ', which failed'
             union all select 'c', true, 'cancelled: it waited for job ' || id('b') || ', which was cancelled'"
        )
        .await
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn on_end_gets_each_cancelled_target_once() {
    let db = AddOnDb::new(5).await;
    db.run(
        "insert into supaqueue.queue (name, edge_function_name) values ('alerts', 'hello');
         update supaqueue.queue set on_end = supaqueue.queue_id('alerts'), on_end_of = 'all' where name = 'q'",
    )
    .await;
    db.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('b', 'a'), wait_for('c', 'b'), wait_for('c', 'a'); commit")
        .await;
    db.fail("a").await;
    assert_eq!(
        db.get(
            "select payload #>> '{job,payload,name}', payload #>> '{job,status}', payload #>> '{job,error}' ~ 'it waited for job'
             from supaqueue.job where queue = supaqueue.queue_id('alerts') order by 1"
        )
        .await,
        "a|failed|f\nb|cancelled|t\nc|cancelled|t"
    );
}

#[tokio::test]
async fn wait_keeps_the_target_waiting_for_a_retry() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'a', 'b'), wait_for('b', 'a', 'wait'); commit")
        .await;
    db.fail("a").await;
    assert_eq!(db.statuses().await, "a failed, b waiting");
    db.run("update supaqueue.job set status = 'pending' where id = id('a')")
        .await;
    db.succeed("a").await;
    assert_eq!(db.statuses().await, "a successful, b in_progress");
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn continue_runs_the_target_despite_the_failure() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('c', 'a', 'continue'), wait_for('c', 'b'); commit").await;
    db.fail("a").await;
    assert_eq!(db.statuses().await, "a failed, b in_progress, c waiting");
    assert_eq!(db.succeed("b").await, "c");
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn on_failure_can_be_changed_after_the_failure() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('b', 'a', 'wait'), wait_for('c', 'b'); commit").await;
    db.fail("a").await;
    db.run("update supaqueue.job_dependencies set on_failure = 'continue' where target = id('b')")
        .await;
    assert_eq!(db.statuses().await, "a failed, b in_progress, c waiting");
    db.assert_counts_match_sources().await;
    db.run("update supaqueue.job_dependencies set on_failure = 'fail' where target = id('b')")
        .await;
    assert_eq!(
        db.statuses().await,
        "a failed, b in_progress, c waiting",
        "a started target is left alone"
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_dependency_on_a_failed_source_cancels_the_target() {
    let db = AddOnDb::new(5).await;
    db.run("select add_jobs('q', 'a')").await;
    db.fail("a").await;
    db.run("begin; select add_jobs('q', 'b', 'c', 'd'), wait_for('b', 'a'), wait_for('c', 'b'), wait_for('d', 'a', 'continue'); commit").await;
    assert_eq!(
        db.statuses().await,
        "a failed, b cancelled, c cancelled, d in_progress"
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_cancelled_source_counts_as_failed() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'a', 'b'), wait_for('b', 'a'); commit")
        .await;
    db.run("update supaqueue.job set status = 'cancelled' where id = id('a')")
        .await;
    assert_eq!(db.statuses().await, "a cancelled, b cancelled");
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_retry_restores_only_the_targets_that_the_failure_cancelled() {
    let db = AddOnDb::new(5).await;
    db.run(
        "begin; select add_jobs('q', 'a', 'b', 'c', 'd', 'e', 'x');
         select wait_for('b', 'a'), wait_for('c', 'b'), wait_for('d', 'b'), wait_for('d', 'a'), wait_for('e', 'a'); commit;
         update supaqueue.job set status = 'cancelled' where id in (id('e'), id('x'))",
    )
    .await;
    db.fail("a").await;
    assert_eq!(
        db.statuses().await,
        "a failed, b cancelled, c cancelled, d cancelled, e cancelled, x cancelled"
    );
    db.run("update supaqueue.job set status = 'pending' where id = id('a')")
        .await;
    assert_eq!(
        db.statuses().await,
        "a in_progress, b waiting, c waiting, d waiting, e cancelled, x cancelled",
        "e was cancelled by the user"
    );
    db.assert_counts_match_sources().await;
    assert_eq!(db.succeed("a").await, "b");
    db.succeed("b").await;
    assert_eq!(
        db.statuses().await,
        "a successful, b successful, c in_progress, d in_progress, e cancelled, x cancelled"
    );
}

#[tokio::test]
async fn a_target_of_two_failed_sources_is_restored_by_the_second_retry() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('c', 'a'), wait_for('c', 'b'); commit").await;
    db.fail("a").await;
    db.fail("b").await;
    db.run("update supaqueue.job set status = 'pending' where id = id('a')")
        .await;
    db.succeed("a").await;
    assert_eq!(db.statuses().await, "a successful, b failed, c cancelled");
    db.run("update supaqueue.job set status = 'pending' where id = id('b')")
        .await;
    assert_eq!(
        db.statuses().await,
        "a successful, b in_progress, c waiting"
    );
    assert_eq!(db.succeed("b").await, "c");
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn retrying_all_jobs_at_once_starts_only_those_without_unfinished_sources() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('b', 'a'), wait_for('c', 'b'); commit").await;
    db.fail("a").await;
    db.run("update supaqueue.job set status = 'pending' where status in ('failed', 'cancelled')")
        .await;
    assert_eq!(db.statuses().await, "a in_progress, b waiting, c waiting");
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn retrying_many_sources_with_their_targets_counts_each_target_once() {
    let db = AddOnDb::new(1).await;
    db.run(
        "begin;
         select add_jobs('q', 's' || i, 't' || i), wait_for('t' || i, 's' || i) from generate_series(1, 50) i;
         commit;
         update supaqueue.job set status = 'cancelled' where payload ->> 'name' like 's%';
         update supaqueue.job set status = 'pending' where status = 'cancelled'",
    )
    .await;
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_target_retried_by_hand_ignores_its_failed_source() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'a', 'b'), wait_for('b', 'a'); commit")
        .await;
    db.fail("a").await;
    db.run("update supaqueue.job set status = 'pending' where id = id('b')")
        .await;
    assert_eq!(db.statuses().await, "a failed, b in_progress");
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_source_set_to_successful_by_hand_releases_its_target() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'a', 'b'), wait_for('b', 'a'); commit")
        .await;
    db.fail("a").await;
    db.run("update supaqueue.job set status = 'successful' where id = id('a')")
        .await;
    assert_eq!(db.statuses().await, "a successful, b in_progress");
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn deleting_an_unfinished_source_counts_as_its_failure() {
    let db = AddOnDb::new(1).await;
    db.run(
        "begin; select add_jobs('q', 'running', 'a', 'b', 'c', 'd', 'e');
         select wait_for('b', 'a'), wait_for('c', 'a', 'wait'), wait_for('d', 'a', 'continue'), wait_for('e', 'b'); commit;
         delete from supaqueue.job where id = id('a')",
    )
    .await;
    assert_eq!(
        db.statuses().await,
        "b cancelled, c waiting, d pending, e cancelled, running in_progress"
    );
    assert_eq!(
        db.get("select errors #>> '{0,message}' from supaqueue.job where id = id('b')")
            .await,
        db.get("select 'cancelled: it waited for job ' || id('a') || ', which was deleted'")
            .await
    );
    db.assert_counts_match_sources().await;
    assert_eq!(
        db.get("select status from supaqueue.pipeline(id('c')) where id = id('a')")
            .await,
        "deleted",
        "the pipeline shows what the target waits for"
    );
    db.run("delete from supaqueue.job_dependencies where target = id('c')")
        .await;
    assert_eq!(
        db.statuses().await,
        "b cancelled, c pending, d pending, e cancelled, running in_progress"
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn deleting_a_successful_source_does_not_affect_its_targets() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('c', 'a'), wait_for('c', 'b'); commit").await;
    db.succeed("a").await;
    db.run("delete from supaqueue.job where id = id('a')").await;
    assert_eq!(db.statuses().await, "b in_progress, c waiting");
    db.assert_counts_match_sources().await;
    assert_eq!(db.succeed("b").await, "c");
}

#[tokio::test]
async fn deleting_targets_or_a_queue_leaves_no_rows_behind() {
    let db = AddOnDb::new(5).await;
    db.queue("other", 0).await;
    db.run(
        "begin; select add_jobs('q', 'a', 'd'), add_jobs('other', 'b', 'c');
         select wait_for('b', 'a'), wait_for('c', 'b'), wait_for('d', 'c'); commit;
         delete from supaqueue.job where id = id('b')",
    )
    .await;
    assert_eq!(
        db.statuses().await,
        "a in_progress, c cancelled, d cancelled"
    );
    db.run("delete from supaqueue.queue where name = 'other'")
        .await;
    db.succeed("a").await;
    db.run("delete from supaqueue.job").await;
    assert_eq!(
        db.get("select count(*) from supaqueue.job_dependencies union all select count(*) from supaqueue.dependent_job").await,
        "0\n0"
    );
    db.run("begin; select add_jobs('q', 'x', 'y'), wait_for('y', 'x'); commit; truncate supaqueue.job cascade").await;
    assert_eq!(
        db.get("select count(*) from supaqueue.job_dependencies union all select count(*) from supaqueue.dependent_job").await,
        "0\n0"
    );
}

#[tokio::test]
async fn retention_keeps_a_source_until_its_targets_have_finished() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('c', 'a'), wait_for('c', 'b'); commit").await;
    db.succeed("a").await;
    let old = "update supaqueue.job set finished_at = now() - interval '1 year' where finished_at is not null; update supaqueue.unfinished set retry_at = now(); call supaqueue.tick()";
    db.run(old).await;
    assert_eq!(
        db.statuses().await,
        "a successful, b in_progress, c waiting"
    );
    db.succeed("b").await;
    db.run(old).await;
    assert_eq!(
        db.statuses().await,
        "a successful, b successful, c in_progress",
        "the sources are kept while the target runs"
    );
    db.succeed("c").await;
    db.run(old).await;
    assert_eq!(db.statuses().await, "null");
    assert_eq!(
        db.get("select count(*) from supaqueue.job_dependencies union all select count(*) from supaqueue.dependent_job").await,
        "0\n0"
    );
}
