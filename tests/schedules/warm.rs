//! While a run of the supaqueue function waits for work, it serves schedules to the moment.

use serde_json::Value;
use supaqueue_tests::protocol::{Pulse, RUN, claim, current_job_of, succeed};
use supaqueue_tests::{Db, eventually};

use crate::turn_off_for;

async fn database_with_a_worker() -> Db {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db
}

#[tokio::test]
async fn a_waiting_run_gets_the_job_of_a_schedule_that_is_due() {
    let db = database_with_a_worker().await;
    db.run("select supaqueue.schedule('s', 'q', every => '1 hour', payload => '7')")
        .await;
    db.run(&claim("q", RUN)).await;
    turn_off_for(&db, "1 hour").await;
    let answer = db.get(&claim("q", RUN)).await;
    assert!(Pulse::parse(&answer).has_started(), "{answer}");
    assert_eq!(
        db.get("select payload, status from supaqueue.job").await,
        "7|in_progress"
    );
    assert_eq!(
        db.get("select count(*) from net.http_request_queue").await,
        "0",
        "nothing is sent for it"
    );
    let report = db.get(&succeed(&current_job_of("q"), RUN, "'{}'")).await;
    assert!(report.contains("\"settled\""), "{report}");
}

/// Behind the place from which the next job is searched, too: see the table queue_front.
#[tokio::test]
async fn a_scheduled_job_may_be_before_all_that_came_so_far() {
    let db = database_with_a_worker().await;
    db.run("select supaqueue.enqueue_many('q', '{1,2,3}'); select supaqueue.schedule('s', 'q', every => '1 hour', payload => '7', priority => -5)").await;
    db.tick().await;
    db.run("update supaqueue.job set status = 'cancelled'; delete from supaqueue.current_job; update supaqueue.worker set locked = false").await;
    db.tick().await;
    turn_off_for(&db, "1 hour").await;
    let answer = db.get(&claim("q", RUN)).await;
    assert!(Pulse::parse(&answer).has_started(), "{answer}");
}

#[tokio::test]
async fn a_run_is_told_when_the_next_schedule_is_due() {
    let db = database_with_a_worker().await;
    db.run("select supaqueue.schedule('s', 'q', every => '1 hour', payload => '7')")
        .await;
    let again = async |idle_ms: u32| -> Option<u64> {
        let sql = format!(
            "select supaqueue.again_in_ms(supaqueue.queue_id('q'), {idle_ms}, clock_timestamp())"
        );
        db.get(&sql).await.parse().ok()
    };
    assert_eq!(again(6000).await, None, "it does not wait for an hour");
    db.run("update supaqueue.schedule set next_at = clock_timestamp() + interval '3 seconds'")
        .await;
    let ms = again(6000).await.unwrap();
    assert!((2000..=3000).contains(&ms), "{ms}");
    db.run("update supaqueue.schedule set next_at = clock_timestamp() + interval '20 ms'")
        .await;
    assert!(again(0).await.unwrap() <= 20);
    // What is due and could not be inserted is the tick's.
    db.run("update supaqueue.schedule set next_at = clock_timestamp() - interval '1 second'")
        .await;
    assert_eq!(again(0).await, Some(50));
}

/// As a run does: it asks again when it was told to.
#[tokio::test]
async fn each_second_is_served_while_a_run_waits() {
    let db = database_with_a_worker().await;
    db.run("select supaqueue.schedule('s', 'q', every => '1 second')")
        .await;
    let mut served = 0;
    while served < 3 {
        let answer = db.get(&claim("q", RUN)).await;
        if Pulse::parse(&answer).has_started() {
            served += 1;
            db.run(&succeed(&current_job_of("q"), RUN, "'{}'")).await;
            continue;
        }
        let value: Value = serde_json::from_str(&answer).unwrap();
        let ms = value["queues"][0]["again_in_ms"]
            .as_u64()
            .expect("a worker is free");
        tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
    }
    let late = "select max(extract(epoch from started_at - run_at)) < 0.5, count(distinct run_at), (select missed_count from supaqueue.schedule) from supaqueue.job";
    eventually(db.client(), late, "t|3|0").await;
}
