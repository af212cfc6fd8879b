//! No job stays pending beside a free worker, however commits overlap.

use supaqueue_tests::protocol::{ANY, Answer, RUN, current_job_of, server_is_old, succeed};
use supaqueue_tests::{Db, Session, eventually};

use crate::invariants::{Check, ensure, no_worker_idles_beside_a_due_job, state_is_consistent};
use crate::transactions::{Change, FREE_WORKERS, NEW_JOBS, one_busy_worker};

/// Runs the first change up to the moment of its commit, and the second one against it.
async fn overlap(db: &Db, queue: &str, first: Change, second: Change) -> Check {
    let (one, other) = (Session::new(db).await, Session::new(db).await);
    one.run("begin").await;
    one.get(&first.act(queue)).await;
    one.run("set constraints all immediate").await;
    let second_change = other.start(&second.act(queue));
    second_change.blocks(db).await;
    one.run("commit").await;
    second_change.finish().await?;

    let context = |wrong| {
        format!(
            "{} overlaps the commit of {}: {wrong}",
            second.name, first.name
        )
    };
    no_worker_idles_beside_a_due_job(db.client())
        .await
        .map_err(context)?;
    state_is_consistent(db.client()).await.map_err(context)
}

/// Every change that adds a job against every change that frees a worker, in both orders.
pub(crate) async fn no_wake_up_is_lost(db: &Db, jobs: &[Change], workers: &[Change]) -> Check {
    let mut wrong = Vec::new();
    for (number, job) in jobs.iter().enumerate() {
        for worker in workers {
            for (order, first, second) in [(1, job, worker), (2, worker, job)] {
                let queue = format!("{number} {} {order}", worker.name);
                worker.prepare(db, &queue).await;
                job.prepare(db, &queue).await;
                wrong.extend(overlap(db, &queue, *first, *second).await.err());
                // So that no pair affects the next one.
                db.run("delete from supaqueue.queue; delete from supaqueue.run")
                    .await;
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// A report finds a job that was inserted, or became due, after its transaction began.
pub(crate) async fn a_report_finds_a_younger_job(db: &Db) -> Check {
    for (queue, run_at) in [
        ("new", "now()"),
        ("due", "clock_timestamp() + interval '30 ms'"),
    ] {
        db.run(&one_busy_worker(queue)).await;
        let report = Session::new(db).await;
        report.run("begin; select now()").await;
        db.run(&format!(
            "select supaqueue.enqueue('{queue}', run_at => {run_at})"
        ))
        .await;
        let is_due = "select bool_and(run_at < clock_timestamp()) from supaqueue.job";
        eventually(db.client(), is_due, "t").await;
        let answer = report.get(&succeed(&current_job_of(queue), RUN, ANY)).await;
        report.run("commit").await;
        ensure!(
            Answer::parse(&answer).next.is_some(),
            "the report found no {queue} job: {answer}"
        );
    }
    no_worker_idles_beside_a_due_job(db.client()).await
}

#[tokio::test]
async fn no_wake_up_is_lost_when_commits_overlap() {
    let db = Db::new().await;
    server_is_old(&db).await;
    assert_eq!(
        no_wake_up_is_lost(&db, &NEW_JOBS, &FREE_WORKERS).await,
        Ok(())
    );
}

#[tokio::test]
async fn a_report_finds_a_job_of_a_transaction_younger_than_itself() {
    assert_eq!(a_report_finds_a_younger_job(&Db::new().await).await, Ok(()));
}

#[tokio::test]
async fn a_long_transaction_blocks_no_report_and_its_job_starts_at_its_commit() {
    let db = Db::new().await;
    db.run(&one_busy_worker("q")).await;
    let long = Session::new(&db).await;
    long.run("begin; select supaqueue.enqueue('q')").await;

    let report = Session::new(&db)
        .await
        .start(&succeed(&current_job_of("q"), RUN, ANY));
    assert!(!report.blocks(&db).await, "the report does not block");
    assert_eq!(
        Answer::parse(&report.finish().await.unwrap()).next,
        None,
        "the report cannot see the job"
    );
    assert_eq!(
        db.get("select locked from supaqueue.worker").await,
        "f",
        "the worker is freed"
    );

    long.run("commit").await;
    assert_eq!(
        db.get("select status from supaqueue.job order by position")
            .await,
        "successful\nin_progress"
    );
    assert_eq!(state_is_consistent(db.client()).await, Ok(()));
}

#[tokio::test]
async fn inserts_do_not_block_each_other() {
    let db = Db::new().await;
    db.queue("q", 2).await;
    let (one, other) = (Session::new(&db).await, Session::new(&db).await);
    for session in [&one, &other] {
        let insert = "begin; select supaqueue.enqueue('q'); set constraints all immediate";
        let insert = session.start(insert);
        assert!(
            !insert.blocks(&db).await,
            "an insert blocks on another's commit"
        );
        insert.finish().await.unwrap();
    }
    one.run("commit").await;
    other.run("commit").await;
    assert_eq!(
        db.get("select count(*) filter (where status = 'in_progress') from supaqueue.job")
            .await,
        "2",
        "each insert took its own worker"
    );
    assert_eq!(state_is_consistent(db.client()).await, Ok(()));
}

#[tokio::test]
async fn a_paused_queue_starts_nothing_and_continues_when_unpaused() {
    let db = Db::new().await;
    db.run(&one_busy_worker("q")).await;
    db.run("select supaqueue.enqueue('q'); update supaqueue.queue set is_paused = true")
        .await;
    let report = Session::new(&db).await;
    let unpause = Session::new(&db).await;
    report.run("begin").await;
    let answer = report.get(&succeed(&current_job_of("q"), RUN, ANY)).await;
    assert_eq!(
        Answer::parse(&answer).next,
        None,
        "a paused queue returns no next job"
    );
    let unpaused = unpause.start("update supaqueue.queue set is_paused = false");
    unpaused.blocks(&db).await;
    report.run("commit").await;
    unpaused.finish().await.unwrap();
    // A change that has waited too long for the report leaves a note, and the tick starts the job.
    if db
        .get("select exists (select from supaqueue.unfinished)")
        .await
        == "t"
    {
        db.tick().await;
    }
    assert_eq!(
        db.get("select status from supaqueue.job order by position")
            .await,
        "successful\nin_progress"
    );
    assert_eq!(state_is_consistent(db.client()).await, Ok(()));
}
