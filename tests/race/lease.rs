//! Ticks against ticks, reports and pulses: when a lease ends just as its run calls, one of them wins.

use supaqueue_tests::protocol::{
    ANY, Answer, NONE, Pulse, RUN, acknowledge, current_job, end_lease, pulse, server_is_old,
    succeed,
};
use supaqueue_tests::{Db, Session, TICK, TICK_IN_TRANSACTION, break_function};

use crate::invariants::{Check, ensure, state_is_consistent};
use crate::transactions::{one_busy_worker, one_sent_call};

const JOB: &str = "select status, attempts, jsonb_array_length(errors) from supaqueue.job";

/// A call of a run whose lease has ended, as an SQL literal.
async fn call_of_a_lost_run(db: &Db) -> String {
    server_is_old(db).await;
    db.run(&one_busy_worker("q")).await;
    db.run(&end_lease(RUN)).await;
    current_job(db).await
}

/// A call that was sent and whose lease has ended, as an SQL literal.
async fn lost_dispatch(db: &Db) -> String {
    db.run(&one_sent_call("q")).await;
    db.run("update supaqueue.current_job set lease_until = '-infinity'")
        .await;
    current_job(db).await
}

/// A report that comes too late is refused, whether the tick has only marked its run over, or is
/// taking back its call just now.
pub(crate) async fn a_late_report_is_refused(db: &Db, is_taken_back: bool) -> Check {
    let call = call_of_a_lost_run(db).await;
    let tick = Session::new(db).await;
    let report = Session::new(db).await;
    let report = if is_taken_back {
        tick.run("begin").await;
        tick.get(TICK_IN_TRANSACTION).await;
        let report = report.start(&succeed(&call, RUN, ANY));
        ensure!(
            report.blocks_on(db, &tick).await,
            "the tick has not locked the call"
        );
        tick.run("commit").await;
        report
    } else {
        tick.run("select supaqueue.end_runs()").await;
        let report = report.start(&succeed(&call, RUN, ANY));
        ensure!(!report.blocks(db).await, "the report blocks");
        report
    };
    let answer = Answer::parse(&report.finish().await?);
    ensure!(answer.state == "refused", "the report is {answer:?}");
    db.tick().await;
    // A lost call is due at once, so the same tick has started the job again.
    let job = db.get(JOB).await;
    ensure!(job == "in_progress|2|1", "the job is {job}");
    state_is_consistent(db.client()).await
}

#[tokio::test]
async fn a_report_during_or_before_the_recovery_of_its_call_is_refused() {
    for is_taken_back in [true, false] {
        let outcome = a_late_report_is_refused(&Db::new().await, is_taken_back).await;
        assert_eq!(outcome, Ok(()), "taken back: {is_taken_back}");
    }
}

/// A pulse that waits for the tick that marks its run over is told so; a rolled back tick changes
/// nothing.
pub(crate) async fn a_pulse_during_the_end_of_its_run_is_refused(db: &Db, end: &str) -> Check {
    call_of_a_lost_run(db).await;
    let tick = Session::new(db).await;
    tick.run("begin; select supaqueue.end_runs()").await;
    let late = Session::new(db).await.start(&pulse(RUN, 2, "'{}'"));
    ensure!(
        late.blocks_on(db, &tick).await,
        "the tick has not locked the run"
    );
    tick.run(end).await;
    let late = Pulse::parse(&late.finish().await?);
    ensure!(
        late.is_accepted == (end == "rollback") && late.has_lease == late.is_accepted,
        "after a {end}, the pulse got {late:?}"
    );
    db.tick().await;
    let job = db.get(JOB).await;
    let want = if late.is_accepted {
        "in_progress|1|0"
    } else {
        "in_progress|2|1"
    };
    ensure!(job == want, "after a {end}, the job is {job}");
    state_is_consistent(db.client()).await
}

#[tokio::test]
async fn a_pulse_while_a_tick_marks_its_run_over_is_refused() {
    for end in ["commit", "rollback"] {
        let outcome = a_pulse_during_the_end_of_its_run_is_refused(&Db::new().await, end).await;
        assert_eq!(outcome, Ok(()));
    }
}

/// A tick passes a run that is being renewed.
pub(crate) async fn a_renewed_run_goes_on(db: &Db) -> Check {
    let call = call_of_a_lost_run(db).await;
    let run = Session::new(db).await;
    run.run("begin").await;
    let renewed = Pulse::parse(&run.get(&pulse(RUN, 2, "'{}'")).await);
    ensure!(renewed.has_lease, "the pulse got {renewed:?}");
    let tick = Session::new(db).await.start(TICK);
    tick.blocks(db).await;
    run.run("commit").await;
    tick.finish().await?;
    db.tick().await;
    let next = Pulse::parse(&db.get(&pulse(RUN, 3, "'{}'")).await);
    ensure!(next.is_accepted, "a run is over although it was renewed");
    let answer = Answer::parse(&db.get(&succeed(&call, RUN, ANY)).await);
    ensure!(answer.state == "settled", "the report is {}", answer.state);
    let job = db.get(JOB).await;
    ensure!(job == "successful|1|0", "the job is {job}");
    state_is_consistent(db.client()).await
}

#[tokio::test]
async fn a_tick_does_not_end_a_run_that_is_being_renewed() {
    assert_eq!(a_renewed_run_goes_on(&Db::new().await).await, Ok(()));
}

/// A tick that has found a lost dispatch does not take it back once a run has acknowledged it: neither
/// by what it saw of the call, nor by what it saw of the runs.
pub(crate) async fn an_acknowledged_call_is_not_taken_back(db: &Db) -> Check {
    let call = lost_dispatch(db).await;
    // Stops the tick between finding and locking.
    db.run(
        "create function public.pause() returns void language plpgsql as
           'begin perform pg_advisory_xact_lock(1); end'",
    )
    .await;
    let locking = "foreach _call in array calls loop";
    let stopped = format!("perform public.pause(); {locking}");
    break_function(db.client(), "recover", locking, &stopped).await;
    let holder = Session::new(db).await;
    holder.run("begin; select pg_advisory_xact_lock(1)").await;
    let tick = Session::new(db).await.start(TICK);
    ensure!(
        tick.blocks_on(db, &holder).await,
        "the tick finds no lost dispatch"
    );
    let answer = Pulse::parse(&db.get(&acknowledge(&call, RUN)).await);
    ensure!(answer.has_started(), "the pulse got {answer:?}");
    holder.run("commit").await;
    tick.finish().await?;
    let job = db.get(JOB).await;
    ensure!(job == "in_progress|1|0", "the job is {job}");
    let answer = Answer::parse(&db.get(&succeed(&call, RUN, NONE)).await);
    ensure!(answer.state == "settled", "the report is {}", answer.state);
    let job = db.get(JOB).await;
    ensure!(job == "successful|1|0", "the job is {job}");
    state_is_consistent(db.client()).await
}

#[tokio::test]
async fn a_tick_does_not_take_back_a_call_that_was_acknowledged_since_it_looked() {
    assert_eq!(
        an_acknowledged_call_is_not_taken_back(&Db::new().await).await,
        Ok(())
    );
}

#[tokio::test]
async fn a_report_is_settled_when_the_recovery_of_its_call_is_rolled_back() {
    let db = Db::new().await;
    let call = call_of_a_lost_run(&db).await;
    let tick = Session::new(&db).await;
    tick.run("begin").await;
    tick.get(TICK_IN_TRANSACTION).await;
    let report = Session::new(&db).await.start(&succeed(&call, RUN, ANY));
    assert!(report.blocks(&db).await, "the tick has locked the call");
    tick.run("rollback").await;
    assert_eq!(
        Answer::parse(&report.finish().await.unwrap()).state,
        "settled"
    );
    assert_eq!(db.get(JOB).await, "successful|1|0");
    assert_eq!(state_is_consistent(db.client()).await, Ok(()));
}

#[tokio::test]
async fn a_tick_does_not_recover_a_call_being_reported() {
    let db = Db::new().await;
    let call = call_of_a_lost_run(&db).await;
    let report = Session::new(&db).await;
    report.run("begin").await;
    report.get(&succeed(&call, RUN, ANY)).await;
    let tick = Session::new(&db).await.start(TICK);
    tick.blocks(&db).await;
    report.run("commit").await;
    tick.finish().await.unwrap();
    assert_eq!(db.get(JOB).await, "successful|1|0");
    assert_eq!(state_is_consistent(db.client()).await, Ok(()));
}

/// The acknowledgement of a dispatch that was given up starts nothing, whether the call is being sent
/// again just now, or was.
pub(crate) async fn a_late_dispatch_starts_nothing(db: &Db) -> Check {
    let call = lost_dispatch(db).await;
    let tick = Session::new(db).await;
    tick.run("begin").await;
    tick.get(TICK_IN_TRANSACTION).await;
    let late = Session::new(db).await.start(&acknowledge(&call, RUN));
    ensure!(!late.blocks(db).await, "a pulse blocks on a tick");
    let late = Pulse::parse(&late.finish().await?);
    tick.run("commit").await;
    let later = Pulse::parse(&db.get(&acknowledge(&call, RUN)).await);
    ensure!(
        !late.has_started() && !later.has_started(),
        "a late dispatch brings {late:?}, {later:?}"
    );
    let sent_again = "(select id from supaqueue.current_job)";
    let again = Pulse::parse(&db.get(&acknowledge(sent_again, RUN)).await);
    ensure!(again.has_started(), "what was sent again brings {again:?}");
    let job = db.get(JOB).await;
    ensure!(job == "in_progress|1|0", "the job is {job}");
    state_is_consistent(db.client()).await
}

#[tokio::test]
async fn an_acknowledgement_while_its_call_is_sent_again_starts_nothing() {
    assert_eq!(
        a_late_dispatch_starts_nothing(&Db::new().await).await,
        Ok(())
    );
}

#[tokio::test]
async fn a_tick_does_not_send_a_call_again_that_is_being_acknowledged() {
    let db = Db::new().await;
    let call = lost_dispatch(&db).await;
    let run = Session::new(&db).await;
    run.run("begin").await;
    assert!(Pulse::parse(&run.get(&acknowledge(&call, RUN)).await).has_started());
    let tick = Session::new(&db).await.start(TICK);
    assert!(!tick.blocks(&db).await, "the tick does not block on pulses");
    tick.finish().await.unwrap();
    run.run("commit").await;
    db.tick().await;
    assert_eq!(
        db.get("select id, dispatches from supaqueue.current_job")
            .await,
        format!("{}|1", call.trim_matches('\''))
    );
}

#[tokio::test]
async fn two_concurrent_ticks_do_the_work_once() {
    let db = Db::new().await;
    db.queue("q", 5).await;
    db.run("select supaqueue.enqueue('q') from generate_series(1, 5)")
        .await;
    db.run("update supaqueue.current_job set lease_until = '-infinity'")
        .await;
    let (one, other) = (Session::new(&db).await, Session::new(&db).await);
    one.run("begin").await;
    one.get(TICK_IN_TRANSACTION).await;
    let second = other.start(TICK);
    assert!(!second.blocks(&db).await, "the second tick does not block");
    second.finish().await.unwrap();
    one.run("commit").await;
    assert_eq!(
        db.get("select distinct dispatches from supaqueue.current_job")
            .await,
        "2",
        "each call is sent again once"
    );
}

#[tokio::test]
async fn concurrent_ticks_and_reports_settle_every_job_once() {
    let db = Db::new().await;
    server_is_old(&db).await;
    let mut sessions = Vec::new();
    for _ in 0..9 {
        sessions.push(Session::new(&db).await);
    }
    for round in 0..12 {
        let queue = format!("round {round}");
        db.queue(&queue, 6).await;
        db.run(&format!(
            "update supaqueue.queue set max_attempts = 1;
             select supaqueue.enqueue('{queue}') from generate_series(1, 6)"
        ))
        .await;
        let calls = db
            .get(
                "with run as (
                   insert into supaqueue.run (id, number, lease_until)
                   select c.id, 1, '-infinity' from supaqueue.current_job c
                 )
                 update supaqueue.current_job set state = 'started', run = id, lease_until = null
                 returning format('%L|%s|%s', id, job, run)",
            )
            .await;
        let (ticks, lanes) = sessions.split_at(3);
        let ticks: Vec<_> = ticks.iter().map(|session| session.start(TICK)).collect();
        let reports: Vec<_> = calls
            .lines()
            .zip(lanes)
            .map(|(call, session)| {
                let parts: Vec<_> = call.split('|').collect();
                (
                    parts[1].to_owned(),
                    session.start(&succeed(parts[0], parts[2], ANY)),
                )
            })
            .collect();
        let mut answers = Vec::new();
        for (job, report) in reports {
            answers.push((job, Answer::parse(&report.finish().await.unwrap()).state));
        }
        for tick in ticks {
            tick.finish().await.unwrap();
        }
        // Takes back what the ticks of before have passed, because its report was under way.
        db.tick().await;
        for (job, state) in answers {
            let status = db
                .get(&format!(
                    "select status, attempts from supaqueue.job where id = '{job}'"
                ))
                .await;
            let want = if state == "settled" {
                "successful|1"
            } else {
                "failed|1"
            };
            assert_eq!(status, want, "the report was {state}");
        }
        assert_eq!(state_is_consistent(db.client()).await, Ok(()));
        db.run("delete from supaqueue.queue").await;
    }
}
