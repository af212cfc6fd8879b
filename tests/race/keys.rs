//! Two transactions that want the same key at the same moment.

use supaqueue_tests::protocol::{NONE, RUN, acknowledge_all, current_job_of, fail};
use supaqueue_tests::{Db, Session};

use crate::invariants::{Check, ensure, state_is_consistent};

/// The ways to change a holder.
const CHANGES: [(&str, &str); 3] = [
    ("replace", "replaced"),
    ("postpone", "postponed"),
    ("merge", "merged"),
];
const KEEP: &str = "select outcome from supaqueue.enqueue_outcome('q', '[2]', key => 'a')";

/// Enqueues the payload `[2]` with the key that the job `[1]` has.
fn enqueue(on_conflict: &str) -> String {
    format!(
        "select outcome from supaqueue.enqueue_outcome('q', '[2]', key => 'a', on_conflict => '{on_conflict}')"
    )
}

/// Nothing but a queue without workers, and in it the job `[1]` with the key `a`.
async fn one_holder(db: &Db, settings: &str) {
    db.run("delete from supaqueue.queue").await;
    db.queue("q", 0).await;
    db.run(&format!("update supaqueue.queue set {settings}"))
        .await;
    db.run("select supaqueue.enqueue('q', '[1]', key => 'a')")
        .await;
}

/// What a statement returns that must wait for another transaction, which then ends.
async fn beside(db: &Db, other: &str, end: &str, statement: &str) -> Result<String, String> {
    let (first, second) = (Session::new(db).await, Session::new(db).await);
    first.run(&format!("begin; {other}")).await;
    let started = second.start(statement);
    ensure!(
        started.blocks_on(db, &first).await,
        "{statement} does not wait for {other}"
    );
    first.run(end).await;
    started.finish().await
}

/// With this, an insert does not wait for what happens to the holder, but whoever changes the holder does.
const LOCK: &str = "select from supaqueue.job for update";
/// The statement that starts the pending job, if its transaction stays open.
const START: &str = "select supaqueue.set_workers('q', 1); set constraints all immediate";

/// Whatever another transaction does with the holder meanwhile: what the outcome is if it commits.
const MEANWHILE: [(&str, &str); 4] = [
    (START, "kept"),
    ("update supaqueue.job set status = 'failed'", "inserted"),
    ("delete from supaqueue.job", "inserted"),
    (
        "update supaqueue.job set status = 'failed'; select supaqueue.enqueue('q', '[3]', key => 'a')",
        "changed",
    ),
];

#[tokio::test]
async fn the_outcome_is_true_whatever_the_holder_does_meanwhile() {
    let db = Db::new().await;
    for (other, want) in MEANWHILE {
        for (on_conflict, changed) in CHANGES {
            for (end, is_locked_first) in [("commit", false), ("rollback", false), ("commit", true)]
            {
                one_holder(&db, "key_held = 'unfinished'").await;
                let want = match (end, want) {
                    ("rollback", _) | (_, "changed") => changed,
                    (_, want) => want,
                };
                let what = format!("{on_conflict} beside {other}; {end}, {is_locked_first}");
                let got = if is_locked_first {
                    let end = format!("{other}; {end}");
                    beside(&db, LOCK, &end, &enqueue(on_conflict)).await
                } else {
                    beside(&db, other, end, &enqueue(on_conflict)).await
                };
                assert_eq!(got.as_deref(), Ok(want), "{what}");
                let want = match (want, end) {
                    ("kept", _) => "[1]",
                    ("merged", "rollback") => "[1, 2]",
                    ("merged", _) => "[3, 2]",
                    _ => "[2]",
                };
                let payload = "select payload from supaqueue.job where ended_as is null";
                assert_eq!(db.get(payload).await, want, "{what}");
            }
        }
    }
}

/// A holder that another transaction is just starting.
pub(crate) async fn a_holder_that_starts_meanwhile_is_kept(db: &Db) -> Check {
    one_holder(db, "key_held = 'unfinished'").await;
    let got = beside(db, LOCK, &format!("{START}; commit"), &enqueue("replace")).await;
    let payload = db.get("select payload from supaqueue.job").await;
    ensure!(
        got == Ok("kept".into()) && payload == "[1]",
        "{got:?}, and its payload is {payload}"
    );
    Ok(())
}

#[tokio::test]
async fn a_call_keeps_the_payload_that_it_began_with() {
    assert_eq!(
        a_holder_that_starts_meanwhile_is_kept(&Db::new().await).await,
        Ok(())
    );
}

/// Its report may need the job: a transaction that wanted to change a holder keeps no lock of it.
pub(crate) async fn a_holder_that_was_kept_is_not_locked(db: &Db) -> Check {
    one_holder(db, "key_held = 'unfinished'").await;
    let (first, second) = (Session::new(db).await, Session::new(db).await);
    first.run(&format!("begin; {LOCK}")).await;
    second.run("begin").await;
    let started = second.start(&enqueue("replace"));
    ensure!(
        started.blocks_on(db, &first).await,
        "it does not wait for the start"
    );
    first.run(&format!("{START}; commit")).await;
    let outcome = started.finish().await;
    ensure!(outcome == Ok("kept".into()), "{outcome:?}");
    let locked = "select from supaqueue.job for update nowait";
    first.try_get(locked).await.map(|_| ())
}

#[tokio::test]
async fn a_kept_holder_can_be_reported() {
    assert_eq!(
        a_holder_that_was_kept_is_not_locked(&Db::new().await).await,
        Ok(())
    );
}

#[tokio::test]
async fn of_two_inserts_one_gets_the_key() {
    for (end, want) in [("commit", "kept"), ("rollback", "inserted")] {
        for settings in ["key_held = 'pending'", "key_held = 'successful'"] {
            let db = Db::new().await;
            db.queue("q", 1).await;
            db.run(&format!(
                "update supaqueue.queue set {settings}, is_paused = true"
            ))
            .await;
            let first = "select supaqueue.enqueue('q', '[1]', key => 'a')";
            let got = beside(&db, first, end, KEEP).await;
            assert_eq!(got.as_deref(), Ok(want), "{settings}, {end}");
        }
    }
}

/// A user retries the job that has failed.
const RETRY: &str = "update supaqueue.job set status = 'pending' where status = 'failed'";

/// How the other transaction ends, and the jobs then.
pub(crate) const RETRIED: [(&str, &str); 2] = [
    ("commit", "failed|3|f|null\npending|0|t|infinity"),
    ("rollback", "pending|0|t|infinity"),
];

/// A retry waits for an insert of the key as an insert does, and neither fails.
pub(crate) async fn a_retry_beside_a_new_holder_does_not_fail(
    db: &Db,
    end: &str,
    want: &str,
) -> Check {
    one_holder(db, "key_held = 'unfinished'").await;
    db.run("update supaqueue.job set status = 'failed', attempts = 3")
        .await;
    beside(db, "select supaqueue.enqueue('q', key => 'a')", end, RETRY).await?;
    let jobs = "select status, attempts, finished_at is null, key_held_until from supaqueue.job order by position";
    let jobs = db.get(jobs).await;
    ensure!(jobs == want, "{end}: {jobs}");
    state_is_consistent(db.client()).await
}

#[tokio::test]
async fn a_retry_is_left_as_it_was_if_a_new_holder_commits() {
    for (end, want) in RETRIED {
        let db = Db::new().await;
        let outcome = a_retry_beside_a_new_holder_does_not_fail(&db, end, want).await;
        assert_eq!(outcome, Ok(()));
    }
}

#[tokio::test]
async fn an_insert_beside_a_retry_gets_what_the_index_says() {
    for (end, want) in [("commit", "kept"), ("rollback", "inserted")] {
        let db = Db::new().await;
        one_holder(&db, "key_held = 'unfinished'").await;
        db.run("update supaqueue.job set status = 'failed'").await;
        assert_eq!(beside(&db, RETRY, end, KEEP).await.as_deref(), Ok(want));
    }
}

/// Nothing that the engine does by itself waits for somebody who inserts a holder, or fails for it.
#[tokio::test]
async fn no_report_and_no_tick_waits_for_a_new_holder() {
    for key_held in ["pending", "unfinished", "successful"] {
        let lost = "update supaqueue.run set is_over = true";
        for (name, ways) in [
            ("a failure", vec![fail(&current_job_of("q"), RUN, NONE)]),
            (
                "a lost call",
                vec![lost.into(), supaqueue_tests::TICK.into()],
            ),
        ] {
            let db = Db::new().await;
            db.queue("q", 1).await;
            db.run(&format!(
                "update supaqueue.queue set key_held = '{key_held}'"
            ))
            .await;
            db.run("select supaqueue.enqueue('q', '[1]', key => 'a')")
                .await;
            db.run(&acknowledge_all(RUN)).await;
            db.run("update supaqueue.queue set is_paused = true").await;
            let user = Session::new(&db).await;
            user.run("begin").await;
            let inserts = user.start("select supaqueue.enqueue('q', '[2]', key => 'a')");
            if key_held == "pending" {
                inserts.finish().await.unwrap();
            } else {
                // It waits for nobody either: the holder is committed.
                assert_eq!(
                    inserts.finish().await,
                    Ok(db.get("select id from supaqueue.job").await)
                );
            }
            for way in ways {
                db.run("set lock_timeout = '10s'").await;
                db.run(&way).await;
            }
            user.run("commit").await;
            let jobs = "select string_agg(status, ' ' order by position) from supaqueue.job";
            let want = if key_held == "pending" {
                "pending pending"
            } else {
                "pending"
            };
            assert_eq!(db.get(jobs).await, want, "{key_held}, {name}");
            assert_eq!(state_is_consistent(db.client()).await, Ok(()));
        }
    }
}

/// A worker that became free while a transaction was changing the holder passed the job over.
pub(crate) async fn a_changed_holder_is_started(db: &Db) -> Check {
    one_holder(db, "key_held = 'unfinished'").await;
    let user = Session::new(db).await;
    user.run(&format!("begin; {}", enqueue("replace"))).await;
    db.run("select supaqueue.set_workers('q', 1)").await;
    ensure!(
        db.get("select status from supaqueue.job").await == "pending",
        "it was not passed over"
    );
    user.run("commit").await;
    let job = db.get("select status, payload from supaqueue.job").await;
    ensure!(job == "in_progress|[2]", "after the change it is {job}");
    state_is_consistent(db.client()).await
}

#[tokio::test]
async fn a_free_worker_gets_the_holder_that_was_being_changed() {
    assert_eq!(a_changed_holder_is_started(&Db::new().await).await, Ok(()));
}

/// A transaction of a stricter level whose snapshot does not have the newest state of the key.
#[tokio::test]
async fn a_stricter_isolation_level_gets_a_serialization_error_and_nothing_else() {
    let db = Db::new().await;
    for level in ["repeatable read", "serializable"] {
        for on_conflict in ["keep", "replace", "postpone", "merge"] {
            for meanwhile in [
                "select supaqueue.enqueue('q', '[1]', key => 'b')",
                "update supaqueue.job set status = 'failed' where key = 'a'",
                "select supaqueue.enqueue('q', '[1]', key => 'a', on_conflict => 'replace')",
                START,
                "delete from supaqueue.job where key = 'a'",
                "update supaqueue.job set key_held_until = now() where key = 'c'",
            ] {
                one_holder(&db, "key_held = 'successful', key_held_for = '1 hour'").await;
                db.run("select supaqueue.enqueue('q', '[1]', key => 'c'); update supaqueue.job set status = 'successful' where key = 'c'")
                    .await;
                let user = Session::new(&db).await;
                user.run(&format!("begin isolation level {level}")).await;
                user.get("select count(*) from supaqueue.job").await;
                db.run(&format!("{meanwhile}; set constraints all immediate"))
                    .await;
                for key in ["a", "b", "c"] {
                    user.run("savepoint here").await;
                    let sql = enqueue(on_conflict).replace("'a'", &format!("'{key}'"));
                    if let Err(error) = user.try_get(&sql).await {
                        assert!(
                            error.starts_with("40001 "),
                            "{level}: {sql} after {meanwhile}: {error}"
                        );
                        user.run("rollback to savepoint here").await;
                    }
                }
                let end = user.try_get("commit").await;
                assert!(
                    end.as_ref()
                        .err()
                        .is_none_or(|error| error.starts_with("40001 ")),
                    "{level}: {end:?}"
                );
                // Afterwards everything works.
                for key in ["a", "b", "c"] {
                    db.get(&enqueue(on_conflict).replace("'a'", &format!("'{key}'")))
                        .await;
                }
            }
        }
    }
}
