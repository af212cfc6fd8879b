//! A run: its lanes, their calls of `end_current_job`, and when they end.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod support;

use std::rc::Rc;

use support::{
    START_MS, Sent, Upstream, World, accepted, assert_contains, assignment, current_job, error,
    healthy, json,
};
use wasm_bindgen_test::wasm_bindgen_test;

/// A network where every report gets a next job, without end.
fn busy(sent: &Sent) -> Upstream {
    if sent.is_report() && !sent.json("_next_within_ms").is_null() {
        let id = sent.text("cur_job_id");
        let number: u32 = id[24..].parse().unwrap();
        return accepted(&assignment(number + 1, "{}"));
    }
    healthy(sent)
}

#[wasm_bindgen_test]
async fn all_lanes_of_a_dispatch_run_at_once() {
    let world = World::new(|_| Upstream::Hold);
    let many: Vec<_> = (1..=20).map(|n| assignment(n, "{}")).collect();
    world.dispatch(&many).await;
    // No call ends before all of them have started: lanes in turn would never get past this.
    while world.held() < 20 {
        support::turn().await;
    }
    world.release();
    world.settle().await;
    let mut lanes = world.reported();
    lanes.sort();
    assert_eq!(lanes, (1..=20).map(current_job).collect::<Vec<_>>());
}

#[wasm_bindgen_test]
async fn a_lane_continues_until_the_jobs_of_its_run_are_used_up() {
    let world = World::with_network(busy);
    world.set_env("SUPAQUEUE_JOBS_PER_RUN", "3");
    world.run(&[assignment(1, "{}")]).await;
    let want = [1, 2, 3, 4].map(current_job);
    assert_eq!(world.reported(), want, "the first job, and three more");
    let acknowledgements = world.sent_where(|sent| sent.is_rpc() && !sent.is_report());
    assert_eq!(
        acknowledgements.len(),
        1,
        "jobs that come with a report are already acknowledged"
    );
}

#[wasm_bindgen_test]
async fn a_lane_asks_for_a_job_that_fits_the_time_left() {
    let world = World::new(|_| json(200, "{}"));
    let slow = Rc::downgrade(&world);
    world.set_network(move |sent| {
        if !sent.is_rpc() {
            slow.upgrade().unwrap().advance(40_000.0);
        }
        busy(sent)
    });
    world.set_env("SUPAQUEUE_TIME_BUDGET_MS", "100000");
    world.run(&[assignment(1, "{}")]).await;
    let asked = |sent: &Sent| sent.json("_next_within_ms").as_f64();
    let asked: Vec<_> = world.reports().iter().map(asked).collect();
    assert_eq!(asked, [Some(55_000.0), Some(15_000.0), None]);
}

#[wasm_bindgen_test]
async fn an_isolate_that_is_about_to_end_takes_no_more_jobs() {
    let world = World::new(|_| json(200, "{}"));
    let ending = Rc::downgrade(&world);
    world.set_network(move |sent| {
        ending.upgrade().unwrap().is_ending.set(!sent.is_rpc());
        busy(sent)
    });
    world.run(&[assignment(1, "{}")]).await;
    let reports = world.reports();
    assert_eq!(reports.len(), 1, "the call in flight is reported");
    assert!(reports[0].json("_next_within_ms").is_null());
}

#[wasm_bindgen_test]
async fn nothing_is_called_after_a_refused_acknowledgement() {
    let refused = r#"{"accepted":false,"state":"refused","reason":"gone","next":null}"#;
    let world = World::with_network(move |_| json(200, refused));
    world.run(&[assignment(1, "{}")]).await;
    assert_eq!(world.sent.borrow().len(), 1);
    assert!(world.logged("acknowledgement_refused")[0].contains("gone"));
}

#[wasm_bindgen_test]
async fn a_report_is_repeated_until_the_database_answers() {
    let timeout = r#"{"code":"57014","message":"canceling statement due to statement timeout"}"#;
    let mut tries = 0;
    let world = World::with_network(move |sent| {
        if !sent.is_report() {
            return healthy(sent);
        }
        tries += 1;
        match tries {
            1 => Upstream::Throw(error("TypeError", "connection reset")),
            2 => json(500, timeout),
            3 => Upstream::Hang,
            4 => json(200, "<html>"),
            5 => Upstream::Respond {
                status: 429,
                headers: vec![("retry-after", "9".into())],
                body: String::new(),
            },
            _ => accepted("null"),
        }
    });
    world.run(&[assignment(1, "{}")]).await;
    assert_eq!(world.reports().len(), 6);
    assert_eq!(world.calls().len(), 1, "the call is not made again");
    // With all random bits set, full jitter gives its bound, which doubles.
    let want = [249.0, 499.0, 999.0, 1999.0, 9000.0];
    assert_eq!(*world.slept_ms.borrow(), want);
    assert_eq!(world.logged("database_not_reached").len(), 5);
}

#[wasm_bindgen_test]
async fn a_report_is_given_up_when_its_lease_ends() {
    let world = World::with_network(|sent| match sent.is_report() {
        true => json(503, ""),
        false => healthy(sent),
    });
    world.run(&[assignment(1, "{}")]).await;
    let waited = world.now_ms.get() - START_MS as f64;
    assert!(
        (70_000.0..90_000.0).contains(&waited),
        "gave up after {waited} ms of a lease of 90 s"
    );
    let want = r#""level":"error","event":"database_not_reached""#;
    assert_contains(world.log.borrow().last().unwrap(), want);
}

#[wasm_bindgen_test]
async fn a_missing_end_current_job_is_logged_once_with_a_fix() {
    let missing = r#"{"code":"PGRST202","message":"Could not find the function public.end_current_job","details":"x","hint":null}"#;
    let world = World::with_network(move |_| json(404, missing));
    world.run(&[1, 2, 3].map(|n| assignment(n, "{}"))).await;
    assert_eq!(world.calls().len(), 0);
    let lines = world.logged("end_current_job_missing");
    assert_eq!(lines.len(), 1);
    assert_contains(&lines[0], "install Supaqueue's migration");
}

#[wasm_bindgen_test]
async fn a_result_that_postgres_rejects_does_not_keep_its_job_from_being_settled() {
    let refused =
        r#"{"code":"22003","message":"value overflows numeric format","details":null,"hint":null}"#;
    let network = move |sent: &Sent| match (sent.is_rpc(), sent.body.contains("1e999999")) {
        (true, true) => json(400, refused),
        (true, false) => accepted("null"),
        (false, _) => json(200, "[1e999999]"),
    };
    let world = World::with_network(network);
    world.run(&[assignment(1, "{}")]).await;
    let reports = world.reports();
    assert_eq!(reports.len(), 2);
    assert!(reports[1].body.contains(r#""_is_successful":true"#));
    assert_eq!(
        reports[1].text("_report.result.incomplete"),
        "the database refused it: status 400 22003 value overflows numeric format"
    );
    assert!(world.logged("report_rejected")[0].contains("22003 value overflows"));
}

#[wasm_bindgen_test]
async fn each_call_is_logged_with_its_job() {
    let world = World::new(|_| json(404, "no"));
    world.set_env("SUPAQUEUE_LOG_LEVEL", "warn");
    world.run(&[assignment(1, "{}")]).await;
    let line = format!(
        r#"{{"level":"warn","event":"call_failed","queue":"mail","job":"{}","current_job":"{}","attempt":1,"status":404,"duration_ms":0,"message":"status 404"}}"#,
        support::job(1),
        current_job(1)
    );
    let log = world.log.borrow();
    assert_eq!(*log, [line], "nothing else is logged at this level");
}
