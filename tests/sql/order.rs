//! The order of jobs within a queue.

use supaqueue_tests::protocol::{ANY, RUN, acknowledge_all, succeed};
use supaqueue_tests::{Db, eventually, run};

/// Drains the queue with its one worker; returns the payloads in the order they started.
async fn drain(db: &Db) -> String {
    let mut payloads = Vec::new();
    loop {
        let job = db.get("select j.payload from supaqueue.current_job c join supaqueue.job j on j.id = c.job").await;
        if job.is_empty() {
            return payloads.join(" ");
        }
        payloads.push(job);
        db.run("select public.end_current_job((select id from supaqueue.current_job), true, true)")
            .await;
    }
}

#[tokio::test]
async fn jobs_start_by_priority_then_due_time_then_insertion() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run(
        "insert into supaqueue.job (queue, payload, priority, run_at)
         select q.id, j.payload, j.priority, now() - j.ago
         from supaqueue.queue q, (values
           ('7'::jsonb, 1, interval '3 min'), ('5', 0, '1 min'), ('6', 0, '1 min'), ('4', 0, '2 min'),
           ('1', -5, '1 min'), ('2', -1, '9 min'), ('3', -1, '8 min'), ('8', 2147483647, '1 year'), ('0', -2147483648, '0')
         ) as j (payload, priority, ago)",
    )
    .await;
    assert_eq!(drain(&db).await, "0 1 2 3 4 5 6 7 8");
}

#[tokio::test]
async fn a_job_due_later_does_not_block_a_lower_priority() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q', '1', priority => 0, run_at => now() + interval '1 day')")
        .await;
    db.run("select supaqueue.enqueue('q', '2', priority => 5)")
        .await;
    assert_eq!(drain(&db).await, "2");
}

/// Reports the only call, and returns the payload of the next one.
fn step() -> String {
    let report = succeed("(select id from supaqueue.current_job)", RUN, ANY);
    format!("{report} #> '{{next,job,payload}}'")
}

#[tokio::test]
async fn a_job_that_comes_later_goes_before_what_it_precedes() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue_many('q', array(select to_jsonb(i) from generate_series(1, 300) i))").await;
    db.run(&acknowledge_all(RUN)).await;
    for _ in 0..250 {
        db.run(&step()).await;
    }
    for (insert, name) in [
        ("select supaqueue.enqueue('q', '\"urgent\"', priority => -1)", "\"urgent\""),
        ("select supaqueue.enqueue('q', '\"overdue\"', run_at => now() - interval '1 day')", "\"overdue\""),
        (
            "select supaqueue.enqueue('q', '\"moved\"', run_at => now() + interval '1 day');
             update supaqueue.job set run_at = now() - interval '1 day' where payload = '\"moved\"'",
            "\"moved\"",
        ),
        (
            "select supaqueue.enqueue('q', '\"raised\"', priority => 9);
             update supaqueue.job set priority = -9 where payload = '\"raised\"'",
            "\"raised\"",
        ),
    ] {
        db.run(insert).await;
        assert_eq!(db.get(&step()).await, name);
    }
}

/// A long transaction inserts a job; others come, are taken, and are taken again by thousands, before
/// it commits.
#[tokio::test]
async fn a_job_committed_late_goes_before_younger_ones() {
    for taken in [0, 1, 500] {
        let db = Db::new().await;
        db.queue("q", 1).await;
        db.run("select supaqueue.enqueue_many('q', array(select to_jsonb(i) from generate_series(1, 600) i))").await;
        db.run(&acknowledge_all(RUN)).await;
        let late = db.connect().await;
        run(
            &late,
            "begin; select supaqueue.enqueue('q', '\"late\"', run_at => now() - interval '1 hour')",
        )
        .await;
        for _ in 0..taken {
            db.run(&step()).await;
        }
        run(&late, "commit").await;
        assert_eq!(db.get(&step()).await, "\"late\"", "after {taken} jobs");
    }
}

#[tokio::test]
async fn a_job_committed_late_into_an_idle_queue_goes_first_once_a_worker_is_free() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    let late = db.connect().await;
    run(&late, "begin; select supaqueue.enqueue('q', '\"late\"')").await;
    for payload in 1..4 {
        db.run(&format!("select supaqueue.enqueue('q', '{payload}')"))
            .await;
    }
    run(&late, "commit").await;
    assert_eq!(drain(&db).await, "1 \"late\" 2 3");
}

/// What is due is admitted in order, whenever it became due.
#[tokio::test]
async fn jobs_that_became_due_start_in_order() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run(
        "insert into supaqueue.job (queue, payload, priority, run_at)
         select supaqueue.queue_id('q'), payload, priority, now() + ms * interval '1 ms'
         from (values ('5'::jsonb, 1, 60), ('3', 0, 80), ('2', 0, 70), ('1', -1, 90), ('4', 1, 50)) as job (payload, priority, ms)",
    )
    .await;
    eventually(
        db.client(),
        "select bool_and(run_at < clock_timestamp()) from supaqueue.job",
        "t",
    )
    .await;
    db.run("select supaqueue.set_workers('q', 1)").await;
    db.tick().await;
    assert_eq!(drain(&db).await, "1 2 3 4 5");
}

/// Neither the insert that starts nothing nor the report admits it: the clock does.
#[tokio::test]
async fn a_report_finds_a_job_that_became_due_while_its_call_ran() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q', '1')").await;
    db.run(&acknowledge_all(RUN)).await;
    db.run("select supaqueue.enqueue('q', '2', run_at => clock_timestamp() + interval '20 ms')")
        .await;
    eventually(
        db.client(),
        "select bool_and(run_at < clock_timestamp()) from supaqueue.job",
        "t",
    )
    .await;
    assert_eq!(db.get(&step()).await, "2");
}

/// However it came to be before the front, a ready job does not stay there beside a free worker.
#[tokio::test]
async fn the_tick_finds_a_job_before_the_front() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run("select supaqueue.enqueue('q')").await;
    let admin = db.database().connect_as_admin().await.unwrap();
    let front =
        "insert into supaqueue.queue_front select id, 0, 'infinity', 0 from supaqueue.queue";
    supaqueue_tests::run(&admin, front).await;
    db.run("select supaqueue.set_workers('q', 1)").await;
    let status = "select status from supaqueue.job";
    assert_eq!(db.get(status).await, "pending", "the front hides it");
    db.tick().await;
    assert_eq!(db.get(status).await, "in_progress");
}
