//! Pulses against pulses, inserts, reports and users: a claim is made once and told once, and no worker
//! gets two calls.

use supaqueue_tests::protocol::{
    ANY, Answer, NONE, OTHER_RUN, Pulse, RUN, acknowledging, claim, claiming, current_job,
    giving_back, pulse, server_is_old, succeed,
};
use supaqueue_tests::{Db, Session};

use crate::invariants::{Check, ensure, no_worker_idles_beside_a_due_job, state_is_consistent};
use crate::transactions::{CLAIM, Change, FREE_WORKERS, NEW_JOBS, one_busy_worker, one_sent_call};
use crate::wake_up::no_wake_up_is_lost;

/// Creates a queue with free workers and due jobs, which only a pulse or a tick starts.
async fn due_beside_free_workers(db: &Db, queue: &str, workers: u32, jobs: u32) {
    db.queue(queue, workers).await;
    due_jobs(db, queue, jobs).await;
}

/// Inserts due jobs without a dispatch, and without a note for the tick.
async fn due_jobs(db: &Db, queue: &str, jobs: u32) {
    db.run(&format!(
        "begin isolation level serializable;
         select supaqueue.enqueue('{queue}') from generate_series(1, {jobs});
         commit;
         delete from supaqueue.unfinished"
    ))
    .await;
}

/// Checks the invariants, and the number of calls.
async fn there_are_calls(db: &Db, want: usize) -> Check {
    let calls = db.get("select count(*) from supaqueue.current_job").await;
    ensure!(calls == want.to_string(), "there are {calls} calls");
    state_is_consistent(db.client()).await
}

/// Sends a pulse while another one is uncommitted; returns both answers.
async fn at_once(db: &Db, first: &str, second: &str) -> Result<(Pulse, Pulse), String> {
    let (one, other) = (Session::new(db).await, Session::new(db).await);
    one.run("begin").await;
    let first = Pulse::parse(&one.get(first).await);
    let second = other.start(second);
    ensure!(
        second.blocks_on(db, &one).await,
        "two pulses of a run do not take turns"
    );
    one.run("commit").await;
    Ok((first, Pulse::parse(&second.finish().await?)))
}

/// A pulse sent twice at the same time claims once, and both get the same calls.
pub(crate) async fn a_repeated_pulse_gets_the_same_calls(db: &Db, number: u32) -> Check {
    due_beside_free_workers(db, "q", 4, 6).await;
    for earlier in 1..number {
        db.run(&pulse(RUN, earlier, "'{}'")).await;
    }
    let request = format!(r#"{} || '{{"limits": {{"calls": 2}}}}'"#, claiming("q"));
    let request = pulse(RUN, number, &request);
    let (first, second) = at_once(db, &request, &request).await?;
    ensure!(first.started.len() == 2, "the first answer is {first:?}");
    ensure!(
        first == second,
        "the first answer is {first:?}, the second {second:?}"
    );
    there_are_calls(db, 2).await
}

/// A pulse that another one has overtaken changes nothing.
pub(crate) async fn an_overtaken_pulse_changes_nothing(db: &Db) -> Check {
    due_beside_free_workers(db, "q", 4, 1).await;
    db.run(&pulse(RUN, 1, "'{}'")).await;
    let late = pulse(RUN, 2, &claiming("q"));
    let (_, second) = at_once(db, &pulse(RUN, 3, "'{}'"), &late).await?;
    ensure!(second.is_accepted, "the run is over");
    ensure!(
        !second.has_lease && !second.has_started(),
        "the late pulse gets {second:?}"
    );
    ensure!(
        db.get("select number from supaqueue.run").await == "3",
        "the late pulse counts"
    );
    there_are_calls(db, 0).await
}

#[tokio::test]
async fn a_pulse_that_is_sent_twice_at_once_claims_once() {
    for number in [1, 2] {
        let outcome = a_repeated_pulse_gets_the_same_calls(&Db::new().await, number).await;
        assert_eq!(outcome, Ok(()), "pulse {number}");
    }
}

#[tokio::test]
async fn a_pulse_that_was_overtaken_claims_nothing_and_renews_nothing() {
    assert_eq!(
        an_overtaken_pulse_changes_nothing(&Db::new().await).await,
        Ok(())
    );
}

#[tokio::test]
async fn a_pulse_repeated_after_a_rollback_claims() {
    let db = Db::new().await;
    due_beside_free_workers(&db, "q", 1, 1).await;
    let request = pulse(RUN, 1, &claiming("q"));
    let cut = Session::new(&db).await;
    cut.run(&format!("begin; {request}")).await;
    let again = Session::new(&db).await.start(&request);
    assert!(again.blocks_on(&db, &cut).await);
    cut.run("rollback").await;
    assert!(Pulse::parse(&again.finish().await.unwrap()).has_started());
    assert_eq!(there_are_calls(&db, 1).await, Ok(()));
}

#[tokio::test]
async fn an_acknowledgement_that_is_sent_twice_at_once_starts_the_call_once() {
    let db = Db::new().await;
    db.run(&one_sent_call("q")).await;
    let call = current_job(&db).await;
    let request = pulse(RUN, 1, &acknowledging(&call));
    let (first, second) = at_once(&db, &request, &request).await.unwrap();
    assert!(first.has_started());
    assert_eq!(first, second);
    assert_eq!(there_are_calls(&db, 1).await, Ok(()));
}

#[tokio::test]
async fn two_runs_that_claim_at_once_get_different_jobs() {
    for workers in [1, 2] {
        let db = Db::new().await;
        due_beside_free_workers(&db, "q", workers, 2).await;
        let (one, other) = (Session::new(&db).await, Session::new(&db).await);
        let one_call = format!(r#"{} || '{{"limits": {{"calls": 1}}}}'"#, claiming("q"));
        one.run("begin").await;
        let first = Pulse::parse(&one.get(&pulse(RUN, 1, &one_call)).await);
        let second = other.start(&pulse(OTHER_RUN, 1, &one_call));
        assert!(!second.blocks(&db).await, "runs do not block each other");
        let second = Pulse::parse(&second.finish().await.unwrap());
        one.run("commit").await;
        assert_eq!(first.started.len(), 1);
        assert_eq!(second.started.len(), usize::from(workers == 2));
        assert_ne!(first.started, second.started);
        let calls = usize::try_from(workers).unwrap();
        assert_eq!(there_are_calls(&db, calls).await, Ok(()));
    }
}

/// A claim and a user's change, both orders: the first one is uncommitted while the second is made.
pub(crate) async fn a_claim_and_a_new_job_use_each_worker_once(
    db: &Db,
    workers: u32,
    new_job: Change,
) -> Check {
    for is_claim_first in [true, false] {
        due_beside_free_workers(db, "q", workers, 1).await;
        new_job.prepare(db, "q").await;
        let (claim, new) = (claim("q", RUN), new_job.act("q"));
        let (first, second) = if is_claim_first {
            (claim, new)
        } else {
            (new, claim)
        };
        let (one, other) = (Session::new(db).await, Session::new(db).await);
        one.run(&format!("begin; {first}; set constraints all immediate"))
            .await;
        let second = other.start(&second);
        ensure!(
            !second.blocks(db).await,
            "{} and a claim block each other",
            new_job.name
        );
        second.finish().await?;
        one.run("commit").await;
        let context = |wrong| {
            format!(
                "{} and a claim, claim first: {is_claim_first}: {wrong}",
                new_job.name
            )
        };
        state_is_consistent(db.client()).await.map_err(context)?;
        no_worker_idles_beside_a_due_job(db.client())
            .await
            .map_err(context)?;
        db.run("delete from supaqueue.queue").await;
    }
    Ok(())
}

#[tokio::test]
async fn a_claim_and_a_new_job_that_overlap_use_each_worker_once() {
    for workers in [1, 2] {
        for new_job in NEW_JOBS {
            let db = Db::new().await;
            let outcome = a_claim_and_a_new_job_use_each_worker_once(&db, workers, new_job).await;
            assert_eq!(outcome, Ok(()), "{workers} workers");
        }
    }
}

#[tokio::test]
async fn a_claim_that_overlaps_a_freed_worker_loses_no_wake_up() {
    let db = Db::new().await;
    server_is_old(&db).await;
    let outcome = no_wake_up_is_lost(&db, &[CLAIM], &FREE_WORKERS).await;
    assert_eq!(outcome, Ok(()));
}

/// Each call that a report or a pulse of one run gets is told by it alone.
pub(crate) async fn a_report_and_a_pulse_tell_each_call_once(
    db: &Db,
    is_report_first: bool,
) -> Check {
    db.run(&one_busy_worker("q")).await;
    let call = db.get("select id from supaqueue.current_job").await;
    db.run("select supaqueue.set_workers('q', 2)").await;
    due_jobs(db, "q", 4).await;
    let report = succeed(&format!("'{call}'"), RUN, ANY);
    let request = format!(
        r#"{} || '{{"calls": ["{call}"], "limits": {{"calls": 2}}}}'"#,
        claiming("q")
    );
    let pulse = pulse(RUN, 2, &request);
    let (first, second) = match is_report_first {
        true => (&report, &pulse),
        false => (&pulse, &report),
    };
    let (one, other) = (Session::new(db).await, Session::new(db).await);
    one.run("begin").await;
    let of_first = one.get(first).await;
    let second = other.start(second);
    second.blocks(db).await;
    one.run("commit").await;
    let of_second = second.finish().await?;
    let (of_report, of_pulse) = match is_report_first {
        true => (of_first, of_second),
        false => (of_second, of_first),
    };
    let next = Answer::parse(&of_report).next;
    let of_pulse = Pulse::parse(&of_pulse);
    // The pulse gets none if it meets the queue's lock, which a slow report takes.
    ensure!(
        next.is_some() && of_pulse.started.len() <= 1,
        "the report got {next:?}, the pulse {of_pulse:?}"
    );
    // A call whose report is under way may be gone.
    ensure!(
        of_pulse.cancelled.is_empty() && (of_pulse.gone.is_empty() || is_report_first),
        "the pulse drops calls: {of_pulse:?}"
    );
    // Its answer was lost: it does not tell what the report has handed out.
    let again = Pulse::parse(&db.get(&pulse).await);
    ensure!(
        again.started == of_pulse.started,
        "the repeated pulse got {again:?}, after {of_pulse:?} and {next:?}"
    );
    there_are_calls(db, 1 + of_pulse.started.len()).await
}

#[tokio::test]
async fn a_report_and_a_pulse_of_one_run_that_overlap_tell_each_call_once() {
    for is_report_first in [true, false] {
        let db = Db::new().await;
        let outcome = a_report_and_a_pulse_tell_each_call_once(&db, is_report_first).await;
        assert_eq!(outcome, Ok(()), "report first: {is_report_first}");
    }
}

/// Cancels the job that a pulse claims at the same moment; returns the pulse's answer.
async fn cancel_beside_a_claim(db: &Db, is_claim_first: bool) -> Pulse {
    due_beside_free_workers(db, "q", 1, 1).await;
    let cancel = "update supaqueue.job set status = 'cancelled'
                  where status in ('pending', 'in_progress') returning id";
    let (run, user) = (Session::new(db).await, Session::new(db).await);
    let claim = pulse(RUN, 1, &claiming("q"));
    let answer = if is_claim_first {
        run.run("begin").await;
        let answer = run.get(&claim).await;
        let cancelled = user.start(cancel);
        assert!(cancelled.blocks_on(db, &run).await);
        run.run("commit").await;
        assert_ne!(cancelled.finish().await.unwrap(), "");
        answer
    } else {
        user.run(&format!("begin; {cancel}")).await;
        let answer = run.start(&claim);
        assert!(!answer.blocks(db).await, "the pulse blocks on a user");
        let answer = answer.finish().await.unwrap();
        user.run("commit").await;
        answer
    };
    Pulse::parse(&answer)
}

#[tokio::test]
async fn a_job_cancelled_while_a_pulse_claims_it_is_named_by_the_next_pulse() {
    let db = Db::new().await;
    let answer = cancel_beside_a_claim(&db, true).await;
    let call = &answer.started[0].current_job;
    assert_eq!(answer.cancelled, Vec::<String>::new());
    let request = format!(r#"'{{"calls": ["{call}"]}}'"#);
    let next = Pulse::parse(&db.get(&pulse(RUN, 2, &request)).await);
    assert_eq!(&next.cancelled, std::slice::from_ref(call));
    let report = succeed(&format!("'{call}'"), RUN, NONE);
    assert_eq!(Answer::parse(&db.get(&report).await).state, "settled");
    assert_eq!(
        db.get("select status from supaqueue.job").await,
        "cancelled"
    );
    assert_eq!(there_are_calls(&db, 0).await, Ok(()));
}

#[tokio::test]
async fn a_claim_that_was_cancelled_before_it_was_told_can_be_given_back() {
    let db = Db::new().await;
    due_beside_free_workers(&db, "q", 1, 2).await;
    let first = pulse(RUN, 1, &claiming("q"));
    // Its answer is lost.
    let call = Pulse::parse(&db.get(&first).await).started[0]
        .current_job
        .clone();
    db.run("update supaqueue.job set status = 'cancelled' where status = 'in_progress'")
        .await;
    let again = Pulse::parse(&db.get(&first).await);
    assert_eq!(
        (again.started, again.cancelled),
        (Vec::new(), vec![call.clone()])
    );
    assert_eq!(there_are_calls(&db, 1).await, Ok(()));
    db.run(&pulse(RUN, 2, &giving_back(&format!("'{call}'"))))
        .await;
    assert_eq!(
        db.get("select status, attempts from supaqueue.job order by position")
            .await,
        "cancelled|1\nin_progress|1"
    );
    assert_eq!(there_are_calls(&db, 1).await, Ok(()));
}

#[tokio::test]
async fn a_job_being_cancelled_is_not_claimed() {
    let db = Db::new().await;
    let answer = cancel_beside_a_claim(&db, false).await;
    assert!(!answer.has_started());
    assert_eq!(there_are_calls(&db, 0).await, Ok(()));
}

/// A worker that is deleted while a pulse claims it takes its call with it, until another one adopts it.
pub(crate) async fn a_replaced_worker_adopts_the_claimed_call(db: &Db) -> Check {
    due_beside_free_workers(db, "q", 1, 2).await;
    let (run, user) = (Session::new(db).await, Session::new(db).await);
    run.run("begin").await;
    let answer = Pulse::parse(&run.get(&claim("q", RUN)).await);
    ensure!(answer.started.len() == 1, "the pulse got {answer:?}");
    let delete = user.start("delete from supaqueue.worker");
    ensure!(
        delete.blocks_on(db, &run).await,
        "a claimed worker can be deleted"
    );
    run.run("commit").await;
    delete.finish().await?;
    // Another run claims while there is a new worker.
    user.run("begin; select supaqueue.set_workers('q', 1)")
        .await;
    let other = Session::new(db).await.start(&claim("q", OTHER_RUN));
    other.blocks(db).await;
    user.run("commit").await;
    other.finish().await?;
    db.tick().await;
    there_are_calls(db, 1).await?;
    let call = format!("'{}'", answer.started[0].current_job);
    let report = Answer::parse(&db.get(&succeed(&call, RUN, ANY)).await);
    ensure!(report.next.is_some(), "the new worker gets no next job");
    there_are_calls(db, 1).await
}

#[tokio::test]
async fn a_worker_replaced_while_a_pulse_claims_it_adopts_the_call() {
    assert_eq!(
        a_replaced_worker_adopts_the_claimed_call(&Db::new().await).await,
        Ok(())
    );
}

#[tokio::test]
async fn a_worker_being_deleted_is_not_claimed_and_its_job_starts_later() {
    for end in ["commit", "rollback"] {
        let db = Db::new().await;
        due_beside_free_workers(&db, "q", 1, 1).await;
        let user = Session::new(&db).await;
        user.run("begin; delete from supaqueue.worker").await;
        let answer = Session::new(&db).await.start(&claim("q", RUN));
        assert!(!answer.blocks(&db).await, "the pulse blocks on a user");
        assert!(!Pulse::parse(&answer.finish().await.unwrap()).has_started());
        user.run(end).await;
        db.run("select supaqueue.set_workers('q', 1)").await;
        db.tick().await;
        assert_eq!(there_are_calls(&db, 1).await, Ok(()), "{end}");
    }
}

#[tokio::test]
async fn a_worker_being_added_is_not_claimed_twice() {
    let db = Db::new().await;
    due_beside_free_workers(&db, "q", 0, 2).await;
    let user = Session::new(&db).await;
    user.run("begin; select supaqueue.set_workers('q', 1); set constraints all immediate")
        .await;
    let claim = Session::new(&db).await.start(&claim("q", RUN));
    claim.blocks(&db).await;
    user.run("commit").await;
    claim.finish().await.unwrap();
    assert_eq!(there_are_calls(&db, 1).await, Ok(()));
}
