//! The order of jobs within a queue.

use supaqueue_tests::Db;

/// Drains the queue with its one worker; returns the payloads in the order they started.
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

#[tokio::test]
async fn the_front_is_used_until_a_job_of_higher_priority_is_due() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue_many('q', array(select to_jsonb(i) from generate_series(1, 5) i))").await;
    for priority in [-2, -1] {
        db.run(&format!(
            "select supaqueue.enqueue('q', '{priority}', priority => {priority}, run_at => now() + interval '1 day')"
        ))
        .await;
    }
    // Past pending jobs, where the engine would not put it: so its use shows.
    db.run("select supaqueue.set_queue_front(id) from supaqueue.job where payload = '3'")
        .await;
    let next = "select payload from supaqueue.job where id = any (supaqueue.due_jobs(supaqueue.queue_id('q'), 1))";
    assert_eq!(
        db.get(next).await,
        "3",
        "scheduled jobs leave the front in use"
    );
    db.run("update supaqueue.job set run_at = now() - interval '1 day' where payload = '-1'")
        .await;
    db.run("select supaqueue.set_queue_front(id) from supaqueue.job where payload = '3'")
        .await;
    assert_eq!(
        db.get(next).await,
        "-1",
        "a due job of higher priority goes first"
    );
}

#[tokio::test]
async fn an_open_transaction_that_dropped_the_front_blocks_nobody() {
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
    assert_eq!(db.get(front).await, "0", "setting the front was skipped");
    db.run(set).await;
    assert_eq!(db.get(front).await, "1");
}

#[tokio::test]
async fn the_front_never_hides_a_job() {
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
        "a higher priority goes before the front"
    );
    db.run("select supaqueue.enqueue('q', '\"overdue\"', run_at => now() - interval '1 day')")
        .await;
    assert_eq!(
        db.get(step).await,
        "\"overdue\"",
        "so does an earlier due time"
    );

    db.run("insert into supaqueue.job (queue, payload, status, run_at) select id, '\"moved\"', 'pending', now() + interval '1 day' from supaqueue.queue").await;
    db.run(
        "update supaqueue.job set run_at = now() - interval '1 day' where payload = '\"moved\"'",
    )
    .await;
    assert_eq!(
        db.get(step).await,
        "\"moved\"",
        "so does a job that an update moves there"
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
        "the front is past the start of the open transaction"
    );
    supaqueue_tests::run(&late, "commit").await;
    assert_eq!(
        db.get(step).await,
        "\"late\"",
        "a job committed late is still found"
    );
}
