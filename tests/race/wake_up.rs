//! No job stays pending beside a free worker, however commits overlap.

use supaqueue_tests::Db;

use crate::change::{Change, FREE_WORKERS, NEW_JOBS, one_busy_worker};
use crate::claim::{Claim, all_is_consistent, claim, nothing_is_lost};
use crate::lane::{ANY, Answer, LANE, only_call, succeed};
use crate::session::Session;

/// Runs one change up to the last moment before its commit, and the other against it.
async fn meet(db: &Db, queue: &str, first: Change, second: Change) -> Claim {
    let (holds, comes) = (Session::new(db).await, Session::new(db).await);
    holds.run("begin").await;
    holds.get(&first.act(queue)).await;
    holds.run("set constraints all immediate").await;
    let second_change = comes.start(&second.act(queue));
    second_change.waits(db).await;
    holds.run("commit").await;
    second_change.end().await?;

    let context = |wrong| {
        format!(
            "{} meets {} at its commit: {wrong}",
            second.name, first.name
        )
    };
    nothing_is_lost(db.client()).await.map_err(context)?;
    all_is_consistent(db.client()).await.map_err(context)
}

/// Every new job against every free worker, each of them first once.
pub(crate) async fn no_wake_up_is_lost(db: &Db, jobs: &[Change], workers: &[Change]) -> Claim {
    let mut wrong = Vec::new();
    for (number, job) in jobs.iter().enumerate() {
        for worker in workers {
            for (order, first, second) in [(1, job, worker), (2, worker, job)] {
                let queue = format!("{number} {} {order}", worker.name);
                worker.prepare(db, &queue).await;
                job.prepare(db, &queue).await;
                wrong.extend(meet(db, &queue, *first, *second).await.err());
                // What one pair left behind is not the next one's.
                db.run("delete from supaqueue.queue").await;
            }
        }
    }
    claim!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// A job of a transaction that began after the report's is due.
pub(crate) async fn a_younger_job_is_due(db: &Db) -> Claim {
    db.run(&one_busy_worker("q")).await;
    let report = Session::new(db).await;
    report.run("begin; select now()").await;
    db.run("select supaqueue.enqueue('q')").await;
    let answer = report.get(&succeed(&only_call("q"), LANE, ANY)).await;
    report.run("commit").await;
    claim!(
        Answer::of(&answer).next.is_some(),
        "the report found no next job: {answer}"
    );
    nothing_is_lost(db.client()).await
}

#[tokio::test]
async fn no_wake_up_is_lost_when_commits_overlap() {
    let db = Db::new().await;
    assert_eq!(
        no_wake_up_is_lost(&db, &NEW_JOBS, &FREE_WORKERS).await,
        Ok(())
    );
}

#[tokio::test]
async fn a_job_of_a_transaction_younger_than_the_report_is_due() {
    assert_eq!(a_younger_job_is_due(&Db::new().await).await, Ok(()));
}

#[tokio::test]
async fn a_long_transaction_blocks_no_report_and_its_job_starts_at_its_commit() {
    let db = Db::new().await;
    db.run(&one_busy_worker("q")).await;
    let long = Session::new(&db).await;
    long.run("begin; select supaqueue.enqueue('q')").await;

    let report = Session::new(&db)
        .await
        .start(&succeed(&only_call("q"), LANE, ANY));
    assert!(!report.waits(&db).await, "the report does not wait");
    assert_eq!(
        Answer::of(&report.end().await.unwrap()).next,
        None,
        "and cannot see the job"
    );
    assert_eq!(
        db.get("select locked from supaqueue.worker").await,
        "f",
        "so it frees the worker"
    );

    long.run("commit").await;
    assert_eq!(
        db.get("select status from supaqueue.job order by position")
            .await,
        "successful\nin_progress"
    );
    assert_eq!(all_is_consistent(db.client()).await, Ok(()));
}

#[tokio::test]
async fn inserts_do_not_wait_for_one_another() {
    let db = Db::new().await;
    db.queue("q", 2).await;
    let (one, other) = (Session::new(&db).await, Session::new(&db).await);
    for session in [&one, &other] {
        let insert = "begin; select supaqueue.enqueue('q'); set constraints all immediate";
        let insert = session.start(insert);
        assert!(
            !insert.waits(&db).await,
            "an insert waits for another's commit"
        );
        insert.end().await.unwrap();
    }
    one.run("commit").await;
    other.run("commit").await;
    assert_eq!(
        db.get("select count(*) filter (where status = 'in_progress') from supaqueue.job")
            .await,
        "2",
        "each took a worker of its own"
    );
    assert_eq!(all_is_consistent(db.client()).await, Ok(()));
}

#[tokio::test]
async fn a_repeatable_read_insert_leaves_its_job_to_the_tick() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    let session = Session::new(&db).await;
    session
        .run("begin isolation level repeatable read; select supaqueue.enqueue('q'); commit")
        .await;
    db.run("select supaqueue.tick()").await;
    assert_eq!(
        db.get("select status from supaqueue.job").await,
        "in_progress"
    );
}

#[tokio::test]
async fn a_pause_starts_nothing_more_and_its_end_starts_what_waited() {
    let db = Db::new().await;
    db.run(&one_busy_worker("q")).await;
    db.run("select supaqueue.enqueue('q'); update supaqueue.queue set is_paused = true")
        .await;
    let report = Session::new(&db).await;
    let unpause = Session::new(&db).await;
    report.run("begin").await;
    let answer = report.get(&succeed(&only_call("q"), LANE, ANY)).await;
    assert_eq!(
        Answer::of(&answer).next,
        None,
        "a paused queue hands out nothing"
    );
    let end_of_pause = unpause.start("update supaqueue.queue set is_paused = false");
    end_of_pause.waits(&db).await;
    report.run("commit").await;
    end_of_pause.end().await.unwrap();
    assert_eq!(
        db.get("select status from supaqueue.job order by position")
            .await,
        "successful\nin_progress"
    );
    assert_eq!(all_is_consistent(db.client()).await, Ok(()));
}
