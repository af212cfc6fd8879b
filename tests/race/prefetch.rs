//! Calls that a run holds ready behind another one of the same worker: whoever ends one of the two leaves
//! the worker to the other, and whoever ends the last one frees it.

use supaqueue_tests::protocol::{
    Answer, NONE, Pulse, RUN, current_job, end_lease, giving_back, next_pulse, report,
    server_is_old, succeed,
};
use supaqueue_tests::{Db, Session, TICK_IN_TRANSACTION};

use crate::by_hand::BY_HAND;
use crate::invariants::{Check, ensure, no_worker_idles_beside_a_due_job, state_is_consistent};
use crate::transactions::one_busy_worker;

/// Asks for a next job, and for one to be held ready.
const PREFETCH: &str = r#"'{"prefetch": true}'"#;

/// A worker's two calls, as SQL literals.
struct Two {
    begun: String,
    held: String,
}

/// Creates a queue with one worker, which has a begun call and a held one, and with pending jobs.
async fn one_worker_with_two_calls(db: &Db) -> Two {
    db.run(&one_busy_worker("q")).await;
    db.run("select supaqueue.enqueue('q') from generate_series(1, 4)")
        .await;
    let first = succeed(&current_job(db).await, RUN, PREFETCH);
    let answer = Answer::parse(&db.get(&first).await);
    let literal = |call: Option<supaqueue_tests::protocol::Call>| {
        format!("'{}'", call.expect("a call is handed out").current_job)
    };
    Two {
        begun: literal(answer.next),
        held: literal(answer.held),
    }
}

/// Checks that the worker has one call, which is the last one that anybody took, and no job waits beside
/// it for nothing.
async fn the_worker_has_one_call(db: &Db) -> Check {
    state_is_consistent(db.client()).await?;
    no_worker_idles_beside_a_due_job(db.client()).await?;
    let calls = db.get("select count(*) from supaqueue.current_job").await;
    ensure!(calls == "1", "the worker has {calls} calls");
    Ok(())
}

/// A report of the begun call while a pulse gives back the held one, both orders.
pub(crate) async fn the_last_of_two_calls_frees_the_worker(
    db: &Db,
    is_report_first: bool,
) -> Check {
    let Two { begun, held } = one_worker_with_two_calls(db).await;
    let report = succeed(&begun, RUN, NONE);
    let pulse = next_pulse(RUN, &giving_back(&held));
    let (first, second) = match is_report_first {
        true => (report, pulse),
        false => (pulse, report),
    };
    let (one, other) = (Session::new(db).await, Session::new(db).await);
    one.run("begin").await;
    one.get(&first).await;
    one.run("set constraints all immediate").await;
    let second = other.start(&second);
    second.blocks(db).await;
    one.run("commit").await;
    second.finish().await?;
    the_worker_has_one_call(db).await?;
    let jobs = db
        .get("select string_agg(status || attempts, ' ' order by position) from supaqueue.job")
        .await;
    // The held job keeps its place and is sent, with its attempt counted once.
    ensure!(
        jobs == "successful1 successful1 in_progress1 pending0 pending0",
        "the jobs are {jobs}"
    );
    Ok(())
}

#[tokio::test]
async fn a_begun_and_a_held_call_that_end_at_once_free_their_worker_once() {
    for is_report_first in [true, false] {
        let outcome =
            the_last_of_two_calls_frees_the_worker(&Db::new().await, is_report_first).await;
        assert_eq!(outcome, Ok(()), "report first: {is_report_first}");
    }
}

/// Giving back a held call leaves its worker to the begun one.
pub(crate) async fn a_held_call_given_back_leaves_the_worker_to_the_begun_one(db: &Db) -> Check {
    let Two { begun, held } = one_worker_with_two_calls(db).await;
    db.run(&next_pulse(RUN, &giving_back(&held))).await;
    the_worker_has_one_call(db).await?;
    db.run(&succeed(&begun, RUN, NONE)).await;
    the_worker_has_one_call(db).await
}

#[tokio::test]
async fn a_held_call_that_is_given_back_starts_no_job_beside_the_begun_one() {
    let outcome = a_held_call_given_back_leaves_the_worker_to_the_begun_one(&Db::new().await).await;
    assert_eq!(outcome, Ok(()));
}

/// A report that gives back the held call of a run that is over, while a tick takes back what the report has not
/// locked: one of them has both calls, and frees the worker.
pub(crate) async fn a_worker_is_freed_by_whoever_has_both_calls(db: &Db) -> Check {
    server_is_old(db).await;
    let Two { begun, held } = one_worker_with_two_calls(db).await;
    db.run(&end_lease(RUN)).await;
    // Stops the report between giving back and ending its call.
    let job = format!("select job from supaqueue.current_job where id = {held}");
    let job = db.get(&job).await;
    db.run(&format!(
        "create function public.pause() returns trigger language plpgsql as
           'begin perform pg_advisory_xact_lock(1); return null; end';
         create trigger zz_pause_tg after update on supaqueue.job
           for each row when (new.id = '{job}') execute function public.pause()"
    ))
    .await;
    let holder = Session::new(db).await;
    holder.run("begin; select pg_advisory_xact_lock(1)").await;
    let details = format!(r#"{{"given_back": ["{}"]}}"#, held.trim_matches('\''));
    let report = report(&begun, RUN, true, &details, NONE);
    let report = Session::new(db).await.start(&report);
    ensure!(
        report.blocks_on(db, &holder).await,
        "the report gives nothing back"
    );
    let tick = Session::new(db).await;
    tick.run("begin").await;
    tick.get(TICK_IN_TRANSACTION).await;
    holder.run("commit").await;
    report.blocks(db).await;
    tick.run("commit").await;
    let answer = Answer::parse(&report.finish().await?);
    ensure!(answer.state == "settled", "the report got {answer:?}");
    state_is_consistent(db.client()).await?;
    db.tick().await;
    the_worker_has_one_call(db).await
}

#[tokio::test]
async fn a_held_call_given_back_while_the_begun_one_is_taken_back_frees_the_worker() {
    let outcome = a_worker_is_freed_by_whoever_has_both_calls(&Db::new().await).await;
    assert_eq!(outcome, Ok(()));
}

#[tokio::test]
async fn a_call_of_a_run_that_is_over_and_was_settled_by_hand_leaves_the_worker_to_the_held_one() {
    let db = Db::new().await;
    server_is_old(&db).await;
    let Two { begun, .. } = one_worker_with_two_calls(&db).await;
    db.run(&end_lease(RUN)).await;
    db.run("select supaqueue.end_runs(); update supaqueue.queue set is_paused = true")
        .await;
    db.run(&BY_HAND[0](&begun, true)).await;
    assert_eq!(state_is_consistent(db.client()).await, Ok(()));
    db.run("update supaqueue.queue set is_paused = false").await;
    db.tick().await;
    assert_eq!(the_worker_has_one_call(&db).await, Ok(()));
}

#[tokio::test]
async fn a_pulse_waits_for_no_user_who_holds_the_call_in_front_of_the_one_given_back() {
    let db = Db::new().await;
    let Two { begun, held } = one_worker_with_two_calls(&db).await;
    let user = Session::new(&db).await;
    user.run("begin").await;
    user.run(&BY_HAND[0](&begun, true)).await;
    let run = Session::new(&db).await;
    run.run("set statement_timeout = '20s'").await;
    let pulse = run.get(&next_pulse(RUN, &giving_back(&held))).await;
    assert!(Pulse::parse(&pulse).has_lease, "the pulse got {pulse}");
    user.run("commit").await;
    db.run(&succeed(&begun, RUN, NONE)).await;
    db.tick().await;
    assert_eq!(the_worker_has_one_call(&db).await, Ok(()));
}

/// A report that says that the held call has begun, while a tick takes both back: the tick has locked
/// them first, so the report is refused, and only the begun call costs an attempt.
pub(crate) async fn a_lost_run_costs_its_held_call_no_attempt(db: &Db) -> Check {
    server_is_old(db).await;
    let Two { begun, held } = one_worker_with_two_calls(db).await;
    db.run(&end_lease(RUN)).await;
    let tick = Session::new(db).await;
    tick.run("begin").await;
    tick.get(TICK_IN_TRANSACTION).await;
    let details = format!(r#"{{"started": ["{}"]}}"#, held.trim_matches('\''));
    let report = report(&begun, RUN, true, &details, PREFETCH);
    let report = Session::new(db).await.start(&report);
    ensure!(
        report.blocks_on(db, &tick).await,
        "the tick has not locked the call"
    );
    tick.run("commit").await;
    let answer = Answer::parse(&report.finish().await?);
    ensure!(answer.state == "refused", "the report got {answer:?}");
    the_worker_has_one_call(db).await?;
    let lost = "select string_agg(jsonb_array_length(errors) || '|' || unstarted, ' ' order by position)
                from supaqueue.job where position in (select position from supaqueue.job order by position offset 1 limit 2)";
    let lost = db.get(lost).await;
    ensure!(
        lost == "1|0 0|1",
        "errors and unstarted of both jobs: {lost}"
    );
    Ok(())
}

#[tokio::test]
async fn a_held_call_of_a_run_that_is_lost_costs_no_attempt_though_its_report_comes() {
    let outcome = a_lost_run_costs_its_held_call_no_attempt(&Db::new().await).await;
    assert_eq!(outcome, Ok(()));
}

#[tokio::test]
async fn a_report_that_begins_a_held_call_being_cancelled_goes_on() {
    for end in ["commit", "rollback"] {
        let db = Db::new().await;
        let Two { begun, held } = one_worker_with_two_calls(&db).await;
        let user = Session::new(&db).await;
        user.run(&format!(
            "begin; update supaqueue.job set status = 'cancelled'
             where id = (select job from supaqueue.current_job where id = {held})"
        ))
        .await;
        let details = format!(r#"{{"started": ["{}"]}}"#, held.trim_matches('\''));
        let first = report(&begun, RUN, true, &details, PREFETCH);
        let first = Session::new(&db).await.start(&first);
        first.blocks(&db).await;
        user.run(end).await;
        let answer = Answer::parse(&first.finish().await.unwrap());
        assert_eq!((answer.state.as_str(), answer.next), ("settled", None));
        let next = answer.held.expect("another one is held ready");
        assert_eq!(state_is_consistent(db.client()).await, Ok(()));

        let told = next_pulse(
            RUN,
            &format!("jsonb_build_object('calls', jsonb_build_array({held}))"),
        );
        let told = Pulse::parse(&db.get(&told).await);
        assert_eq!(told.cancelled.len(), usize::from(end == "commit"));
        let details = format!(r#"{{"given_back": ["{}"]}}"#, next.current_job);
        db.run(&report(&held, RUN, true, &details, NONE)).await;
        let want = if end == "commit" {
            "cancelled"
        } else {
            "successful"
        };
        assert_eq!(
            db.get("select status from supaqueue.job order by position offset 2 limit 1")
                .await,
            want
        );
        assert_eq!(the_worker_has_one_call(&db).await, Ok(()));
    }
}
