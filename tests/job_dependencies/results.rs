//! The results of the sources, in the body of the target.

use crate::house::House;

const PAYLOAD: &str = "select jsonb_pretty(payload) from supaqueue.job where id = id('c')";

#[tokio::test]
async fn a_target_finds_the_results_of_its_sources_in_the_order_of_insertion() {
    let house = House::new(5).await;
    house
        .run(
            "begin; select add_jobs('q', 'b', 'a', 'n', 'c');
             insert into supaqueue.job_dependencies (source, target, on_failure, pass_result)
             values (id('a'), id('c'), 'fail', true), (id('b'), id('c'), 'continue', true), (id('n'), id('c'), 'fail', false); commit",
        )
        .await;
    house.succeed("n").await;
    house.fail("b").await;
    house.succeed("a").await;
    assert_eq!(
        house.get("select payload from supaqueue.job where id = id('c')").await,
        house
            .get(
                r#"select jsonb_build_object('name', 'c', 'sources', jsonb_build_array(
                     jsonb_build_object('job', id('b'), 'queue', 'q', 'status', 'failed', 'result', null),
                     jsonb_build_object('job', id('a'), 'queue', 'q', 'status', 'successful', 'result', '{"of": "a"}'::jsonb)))"#
            )
            .await
    );
    assert_eq!(
        house
            .get("select status from supaqueue.job where id = id('c')")
            .await,
        "in_progress"
    );
}

#[tokio::test]
async fn without_the_wish_the_body_is_the_payload_as_it_was() {
    let house = House::new(5).await;
    house
        .run("begin; select add_jobs('q', 'a', 'c'), wait_for('c', 'a'); commit")
        .await;
    house.succeed("a").await;
    assert_eq!(
        house
            .get("select payload from supaqueue.job where id = id('c')")
            .await,
        r#"{"name": "c"}"#
    );
}

#[tokio::test]
async fn a_retry_passes_the_new_results_on() {
    let house = House::new(1).await;
    house.run("select add_jobs('q', 'a', 'first')").await;
    house
        .run("begin; select add_jobs('q', 'c'); insert into supaqueue.job_dependencies (source, target, pass_result) values (id('a'), id('c'), true); commit")
        .await;
    house.succeed("a").await;
    house
        .run("update supaqueue.job set status = 'pending' where id = id('a')")
        .await;
    assert_eq!(
        house.statuses().await,
        "a pending, c waiting, first in_progress"
    );
    house
        .run(
            "update supaqueue.job set status = 'successful', result = '\"new\"' where id = id('a')",
        )
        .await;
    assert_eq!(house.get("select payload #>> '{sources,0,result}', jsonb_array_length(payload -> 'sources') from supaqueue.job where id = id('c')").await, "new|1");
}

#[tokio::test]
async fn a_body_that_cannot_take_the_results_cancels_the_target_with_the_reason() {
    let house = House::new(5).await;
    house
        .run(
            "begin; select add_jobs('q', 'a', 'b', 'c', 'd'); update supaqueue.job set payload = '[1]' where id = id('c');
             select wait_for('d', 'c');
             insert into supaqueue.job_dependencies (source, target, pass_result) values (id('a'), id('c'), true); commit",
        )
        .await;
    house.succeed("a").await;
    let outcome = "select status, finished_at is not null, errors #>> '{0,message}' from supaqueue.job where id = id('c')";
    assert_eq!(
        house.get(outcome).await,
        "cancelled|t|cancelled: it cannot be given the results of its sources: its payload is not an object"
    );
    assert_eq!(
        house
            .get("select status from supaqueue.job where id = id('d')")
            .await,
        "cancelled"
    );
    house.counts_are_right().await;

    let house = House::new(5).await;
    house
        .run(
            "begin; select add_jobs('q', 'a', 'b', 'c');
             insert into supaqueue.job_dependencies (source, target, pass_result)
             values (id('a'), id('c'), true), (id('b'), id('c'), true); commit;
             update supaqueue.job set result = to_jsonb(repeat('x', 3000000)), status = 'successful' where id in (id('a'), id('b'))",
        )
        .await;
    assert_eq!(
        house.get(outcome).await,
        "cancelled|t|cancelled: it cannot be given the results of its sources: with them its payload would be larger than 5 MB"
    );
    assert_ne!(house.get(PAYLOAD).await, "");
}
