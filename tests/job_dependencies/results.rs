//! The results of the sources in the payload of the target.

use crate::database::AddOnDb;

const PAYLOAD: &str = "select jsonb_pretty(payload) from supaqueue.job where id = id('c')";

#[tokio::test]
async fn a_target_gets_the_results_of_its_sources_in_the_order_of_insertion() {
    let db = AddOnDb::new(5).await;
    db.run(
        "begin; select add_jobs('q', 'b', 'a', 'n', 'c');
         insert into supaqueue.job_dependencies (source, target, on_failure, pass_result)
         values (id('a'), id('c'), 'fail', true), (id('b'), id('c'), 'continue', true), (id('n'), id('c'), 'fail', false); commit",
    )
    .await;
    db.succeed("n").await;
    db.fail("b").await;
    db.succeed("a").await;
    assert_eq!(
        db.get("select payload from supaqueue.job where id = id('c')").await,
        db.get(
            r#"select jsonb_build_object('name', 'c', 'sources', jsonb_build_array(
                 jsonb_build_object('job', id('b'), 'queue', 'q', 'status', 'failed', 'result', null),
                 jsonb_build_object('job', id('a'), 'queue', 'q', 'status', 'successful', 'result', '{"of": "a"}'::jsonb)))"#
        )
        .await
    );
    assert_eq!(
        db.get("select status from supaqueue.job where id = id('c')")
            .await,
        "in_progress"
    );
}

#[tokio::test]
async fn without_pass_result_the_payload_is_unchanged() {
    let db = AddOnDb::new(5).await;
    db.run("begin; select add_jobs('q', 'a', 'c'), wait_for('c', 'a'); commit")
        .await;
    db.succeed("a").await;
    assert_eq!(
        db.get("select payload from supaqueue.job where id = id('c')")
            .await,
        r#"{"name": "c"}"#
    );
}

#[tokio::test]
async fn a_retried_source_passes_its_new_result_on() {
    let db = AddOnDb::new(1).await;
    db.run("select add_jobs('q', 'a', 'first')").await;
    db.run("begin; select add_jobs('q', 'c'); insert into supaqueue.job_dependencies (source, target, pass_result) values (id('a'), id('c'), true); commit").await;
    db.succeed("a").await;
    db.run("update supaqueue.job set status = 'pending' where id = id('a')")
        .await;
    assert_eq!(
        db.statuses().await,
        "a pending, c waiting, first in_progress"
    );
    db.run("update supaqueue.job set status = 'successful', result = '\"new\"' where id = id('a')")
        .await;
    assert_eq!(db.get("select payload #>> '{sources,0,result}', jsonb_array_length(payload -> 'sources') from supaqueue.job where id = id('c')").await, "new|1");
}

#[tokio::test]
async fn a_target_whose_payload_cannot_hold_the_results_is_cancelled_with_the_reason() {
    let db = AddOnDb::new(5).await;
    db.run(
        "begin; select add_jobs('q', 'a', 'b', 'c', 'd'); update supaqueue.job set payload = '[1]' where id = id('c');
         select wait_for('d', 'c');
         insert into supaqueue.job_dependencies (source, target, pass_result) values (id('a'), id('c'), true); commit",
    )
    .await;
    db.succeed("a").await;
    let outcome = "select status, finished_at is not null, errors #>> '{0,message}' from supaqueue.job where id = id('c')";
    assert_eq!(
        db.get(outcome).await,
        "cancelled|t|cancelled: cannot add the results of its sources: its payload is not an object"
    );
    assert_eq!(
        db.get("select status from supaqueue.job where id = id('d')")
            .await,
        "cancelled"
    );
    db.assert_counts_match_sources().await;

    let db = AddOnDb::new(5).await;
    db.run(
        "begin; select add_jobs('q', 'a', 'b', 'c');
         insert into supaqueue.job_dependencies (source, target, pass_result)
         values (id('a'), id('c'), true), (id('b'), id('c'), true); commit;
         update supaqueue.job set result = to_jsonb(repeat('x', 3000000)), status = 'successful' where id in (id('a'), id('b'))",
    )
    .await;
    assert_eq!(
        db.get(outcome).await,
        "cancelled|t|cancelled: cannot add the results of its sources: its payload would exceed 5 MB"
    );
    assert_ne!(db.get(PAYLOAD).await, "");
}

/// Together, they are more than Postgres can hold in one value.
#[tokio::test]
async fn results_of_256_mb_cancel_the_target_with_the_reason() {
    let db = AddOnDb::new(1).await;
    db.run(
        "begin; select add_jobs('q', 'a', 'c');
         insert into supaqueue.job (id, queue, status, result)
         select id('s' || i), supaqueue.queue_id('q'), 'successful', to_jsonb(repeat('x', 262144)) from generate_series(1, 1023) i;
         insert into supaqueue.job_dependencies (source, target, pass_result)
         select j.id, id('c'), true from supaqueue.job j where j.id <> id('c'); commit",
    )
    .await;
    db.succeed("a").await;
    assert_eq!(
        db.get("select j.status, errors #>> '{0,message}' from supaqueue.job j where j.id in (id('a'), id('c')) order by 1").await,
        "cancelled|cancelled: cannot add the results of its sources: its payload would exceed 5 MB\nsuccessful|null"
    );
}
