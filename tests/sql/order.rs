//! The order within a queue.

use supaqueue_tests::Db;

/// Drains the queue with one worker; returns the payloads in the order in which they were started.
async fn drain(db: &Db) -> String {
    let mut payloads = Vec::new();
    loop {
        let job = db.get("select j.payload from supaqueue.current_job c join supaqueue.job j on j.id = c.job").await;
        if job.is_empty() {
            return payloads.join(" ");
        }
        payloads.push(job);
        db.run("select public.end_current_job((select id from supaqueue.current_job), true, true, '{}', 60000)").await;
    }
}

#[tokio::test]
async fn priority_then_time_due_then_insertion() {
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
async fn what_is_due_later_does_not_hold_up_a_lower_priority() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q', '1', priority => 0, run_at => now() + interval '1 day')")
        .await;
    db.run("select supaqueue.enqueue('q', '2', priority => 5)")
        .await;
    assert_eq!(drain(&db).await, "2");
}

#[tokio::test]
async fn the_front_is_used_beside_an_earlier_priority_until_that_is_due() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue_many('q', array(select to_jsonb(i) from generate_series(1, 5) i))").await;
    for priority in [-2, -1] {
        db.run(&format!(
            "select supaqueue.enqueue('q', '{priority}', priority => {priority}, run_at => now() + interval '1 day')"
        ))
        .await;
    }
    // The front is where it would not be by itself: past a job that is pending.
    db.run("select supaqueue.set_queue_front(id) from supaqueue.job where payload = '3'")
        .await;
    let next = "select payload from supaqueue.job where id = any (supaqueue.due_jobs(supaqueue.queue_id('q'), 1))";
    assert_eq!(
        db.get(next).await,
        "3",
        "what is scheduled leaves it in use"
    );
    db.run("update supaqueue.job set run_at = now() - interval '1 day' where payload = '-1'")
        .await;
    db.run("select supaqueue.set_queue_front(id) from supaqueue.job where payload = '3'")
        .await;
    assert_eq!(db.get(next).await, "-1", "what is due goes first");
}

#[tokio::test]
async fn a_transaction_that_dropped_the_front_keeps_nobody_waiting() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue_many('q', array(select to_jsonb(i) from generate_series(1, 5) i))").await;
    let front = "select count(*) from supaqueue.queue_front";
    assert_eq!(db.get(front).await, "1");
    let open = db.connect().await;
    supaqueue_tests::run(
        &open,
        "begin; select supaqueue.drop_queue_fronts(null, '-infinity')",
    )
    .await;
    db.run("set statement_timeout = '5s'").await;
    let set = "select supaqueue.set_queue_front(id) from supaqueue.job where payload = '3'";
    db.run(set).await;
    supaqueue_tests::run(&open, "commit").await;
    assert_eq!(db.get(front).await, "0", "it stayed as it was");
    db.run(set).await;
    assert_eq!(db.get(front).await, "1");
}

#[tokio::test]
async fn the_front_never_hides_what_was_committed_before() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue_many('q', array(select to_jsonb(i) from generate_series(1, 300) i))").await;
    let step = "select public.end_current_job((select id from supaqueue.current_job), true, true, '{}', 60000) #> '{next,job,payload}'";
    for _ in 0..250 {
        db.run(step).await;
    }
    assert_eq!(
        db.get("select count(*) from supaqueue.queue_front").await,
        "1",
        "the front is in use"
    );

    db.run("select supaqueue.enqueue('q', '\"urgent\"', priority => -1)")
        .await;
    assert_eq!(
        db.get(step).await,
        "\"urgent\"",
        "a higher priority is before the front"
    );
    db.run("select supaqueue.enqueue('q', '\"overdue\"', run_at => now() - interval '1 day')")
        .await;
    assert_eq!(
        db.get(step).await,
        "\"overdue\"",
        "so is an earlier time due"
    );

    db.run("insert into supaqueue.job (queue, payload, status, run_at) select id, '\"moved\"', 'pending', now() + interval '1 day' from supaqueue.queue").await;
    db.run(
        "update supaqueue.job set run_at = now() - interval '1 day' where payload = '\"moved\"'",
    )
    .await;
    assert_eq!(
        db.get(step).await,
        "\"moved\"",
        "and what an update brings there"
    );

    let late = db.connect().await;
    supaqueue_tests::run(&late, "begin; select supaqueue.enqueue('q', '\"late\"')").await;
    db.run("select supaqueue.enqueue_many('q', array(select to_jsonb(i) from generate_series(301, 900) i))").await;
    for _ in 0..500 {
        db.run(step).await;
    }
    assert_eq!(
        db.get("select run_at < (select run_at from supaqueue.queue_front) from supaqueue.job order by run_at limit 1").await,
        "t",
        "the front has passed the time at which the open transaction began"
    );
    supaqueue_tests::run(&late, "commit").await;
    assert_eq!(db.get(step).await, "\"late\"", "and what is committed late");
}
