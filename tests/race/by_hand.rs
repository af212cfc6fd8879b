//! A call that somebody settles by hand while its run makes it and reports it.

use supaqueue_tests::protocol::{
    ANY, Answer, NONE, Pulse, RUN, acknowledge, current_job, fail, pulse, succeed,
};
use supaqueue_tests::{Db, Session};

use crate::invariants::{Check, ensure, no_worker_idles_beside_a_due_job, state_is_consistent};
use crate::transactions::{one_busy_worker, one_sent_call};

const JOBS: &str = "select status, attempts from supaqueue.job order by position";

/// The statement that settles a call by hand, in both ways that there are.
pub(crate) const BY_HAND: [fn(&str, bool) -> String; 2] = [
    |call, is_successful| format!("select public.end_current_job({call}, true, {is_successful})"),
    |call, is_successful| {
        format!(
            "update supaqueue.current_job set is_complete = true, is_successful = {is_successful}
             where id = {call}"
        )
    },
];

/// Creates a queue with a call of a run and a pending job; returns the call as an SQL literal.
async fn busy_queue(db: &Db) -> String {
    db.run(&one_busy_worker("q")).await;
    db.run("select supaqueue.enqueue('q')").await;
    current_job(db).await
}

/// Settles by hand while the call's report is blocked by that; the run's report frees the worker.
pub(crate) async fn a_call_settled_by_hand_keeps_its_worker_until_the_report(
    db: &Db,
    by_hand: fn(&str, bool) -> String,
) -> Check {
    let call = busy_queue(db).await;
    db.run(&by_hand(&call, true)).await;
    let jobs = db.get(JOBS).await;
    ensure!(
        jobs == "successful|1\npending|0",
        "before the report, the jobs are\n{jobs}"
    );
    state_is_consistent(db.client()).await?;
    let request = format!("jsonb_build_object('calls', jsonb_build_array({call}))");
    let told = Pulse::parse(&db.get(&pulse(RUN, 2, &request)).await);
    ensure!(told.cancelled.len() == 1, "the run is told {told:?}");
    let report = Answer::parse(&db.get(&fail(&call, RUN, ANY)).await);
    ensure!(report.next.is_some(), "the report got {report:?}");
    let jobs = db.get(JOBS).await;
    ensure!(
        jobs == "successful|1\nin_progress|1",
        "after the report, the jobs are\n{jobs}"
    );
    state_is_consistent(db.client()).await
}

/// What was settled by hand first counts, also if it is a failure that is retried.
pub(crate) async fn a_report_does_not_undo_what_was_settled_by_hand(
    db: &Db,
    by_hand: fn(&str, bool) -> String,
    is_successful: bool,
    next: &str,
) -> Check {
    let call = busy_queue(db).await;
    let user = Session::new(db).await;
    user.run(&format!("begin; {}", by_hand(&call, is_successful)))
        .await;
    let report = if is_successful { fail } else { succeed };
    let report = Session::new(db).await.start(&report(&call, RUN, next));
    ensure!(
        report.blocks_on(db, &user).await,
        "the report does not wait for what is settled by hand"
    );
    user.run("commit").await;
    let answer = Answer::parse(&report.finish().await?);
    ensure!(answer.state == "settled", "the report is {}", answer.state);
    state_is_consistent(db.client()).await?;
    db.tick().await;
    let first = db
        .get("select successful + failed, pending + in_progress from supaqueue.queue_status")
        .await;
    // A failure is retried, as the queue's backoff is 0.
    let want = if is_successful { "1|1" } else { "0|2" };
    ensure!(first == want, "settled and unsettled jobs: {first}");
    no_worker_idles_beside_a_due_job(db.client()).await
}

#[tokio::test]
async fn a_live_call_settled_by_hand_keeps_its_worker_until_its_run_reports() {
    for by_hand in BY_HAND {
        let db = Db::new().await;
        let outcome = a_call_settled_by_hand_keeps_its_worker_until_the_report(&db, by_hand).await;
        assert_eq!(outcome, Ok(()), "{}", by_hand("the call", true));
    }
}

#[tokio::test]
async fn a_report_that_waits_for_what_is_settled_by_hand_does_not_undo_it() {
    for by_hand in BY_HAND {
        for is_successful in [true, false] {
            for next in [ANY, NONE] {
                let db = Db::new().await;
                let outcome = a_report_does_not_undo_what_was_settled_by_hand(
                    &db,
                    by_hand,
                    is_successful,
                    next,
                )
                .await;
                assert_eq!(outcome, Ok(()), "{}, {next}", by_hand("_", is_successful));
            }
        }
    }
}

#[tokio::test]
async fn what_is_settled_by_hand_while_a_report_is_uncommitted_changes_nothing() {
    for by_hand in BY_HAND {
        for end in ["commit", "rollback"] {
            let db = Db::new().await;
            let call = busy_queue(&db).await;
            let run = Session::new(&db).await;
            run.run(&format!("begin; {}", succeed(&call, RUN, ANY)))
                .await;
            let settled = Session::new(&db).await.start(&by_hand(&call, true));
            assert!(settled.blocks_on(&db, &run).await);
            run.run(end).await;
            settled.finish().await.unwrap();
            assert_eq!(state_is_consistent(db.client()).await, Ok(()));
            let want = match end {
                "commit" => "successful|1\nin_progress|1",
                // The report never was: it is still the call's, and settled by hand.
                _ => "successful|1\npending|0",
            };
            assert_eq!(db.get(JOBS).await, want, "{end}");
            assert_eq!(
                Answer::parse(&db.get(&succeed(&call, RUN, ANY)).await)
                    .next
                    .map(|next| next.queue),
                Some("q".into())
            );
            assert_eq!(db.get(JOBS).await, "successful|1\nin_progress|1");
        }
    }
}

#[tokio::test]
async fn a_sent_call_settled_by_hand_while_it_is_acknowledged_is_settled_once() {
    for by_hand in BY_HAND {
        for is_acknowledged_first in [true, false] {
            let db = Db::new().await;
            db.run(&one_sent_call("q")).await;
            let call = current_job(&db).await;
            let acknowledge = acknowledge(&call, RUN);
            let by_hand = by_hand(&call, true);
            let (one, other) = (Session::new(&db).await, Session::new(&db).await);
            one.run("begin").await;
            let (has_started, settled) = if is_acknowledged_first {
                let answer = one.get(&acknowledge).await;
                let settled = other.start(&by_hand);
                assert!(settled.blocks_on(&db, &one).await);
                (Pulse::parse(&answer).has_started(), settled)
            } else {
                one.run(&by_hand).await;
                let answer = other.start(&acknowledge);
                assert!(!answer.blocks(&db).await, "the pulse blocks on a user");
                let answer = Pulse::parse(&answer.finish().await.unwrap());
                (answer.has_started(), other.start("select"))
            };
            assert_eq!(has_started, is_acknowledged_first);
            one.run("commit").await;
            settled.finish().await.unwrap();
            assert_eq!(db.get(JOBS).await, "successful|1");
            assert_eq!(state_is_consistent(db.client()).await, Ok(()));
            if has_started {
                db.run(&fail(&call, RUN, NONE)).await;
            }
            assert_eq!(db.get(JOBS).await, "successful|1");
            assert_eq!(
                db.get("select count(*) from supaqueue.current_job").await,
                "0"
            );
            assert_eq!(state_is_consistent(db.client()).await, Ok(()));
        }
    }
}
