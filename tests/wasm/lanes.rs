//! A run, from dispatch to end: what core decides is carried out. (Its rules are tested natively.)

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod support;

use std::rc::Rc;

use support::{
    START_MS, Sent, Upstream, World, accepted, assert_contains, assignment, current_job, error,
    healthy, json, started,
};
use wasm_bindgen_test::wasm_bindgen_test;

/// A network where every report gets a next job, without end.
fn busy(sent: &Sent) -> Upstream {
    if sent.is_report() && !sent.json("_next").is_undefined() {
        let id = sent.text("cur_job_id");
        let number: u32 = id[24..].parse().unwrap();
        return accepted(&assignment(number + 1, "{}"));
    }
    healthy(sent)
}

#[wasm_bindgen_test]
async fn all_calls_of_a_dispatch_run_at_once() {
    let world = World::new(|_| Upstream::Hold);
    let many: Vec<_> = (1..=20).map(|n| assignment(n, "{}")).collect();
    world.dispatch(&many).await;
    // No call ends before all of them have started: one after the other would never get past this.
    while world.held() < 20 {
        support::turn().await;
    }
    world.release();
    world.settle().await;
    let mut reported = world.reported();
    reported.sort();
    assert_eq!(reported, (1..=20).map(current_job).collect::<Vec<_>>());
    let pulses = world.sent_where(Sent::is_pulse);
    assert_eq!(pulses.len(), 1, "one request acknowledges all of them");
}

#[wasm_bindgen_test]
async fn a_lane_continues_until_the_jobs_of_its_run_are_used_up() {
    let world = World::with_network(busy);
    world.set_env("SUPAQUEUE_JOBS_PER_RUN", "3");
    world.run(&[assignment(1, "{}")]).await;
    let want = [1, 2, 3, 4].map(current_job);
    assert_eq!(world.reported(), want, "the first job, and three more");
}

#[wasm_bindgen_test]
async fn a_dispatch_joins_the_run_that_is_there() {
    let world = World::new(|_| Upstream::Hold);
    world.dispatch(&[assignment(1, "{}")]).await;
    world.dispatch(&[assignment(2, "{}")]).await;
    while world.held() < 2 {
        support::turn().await;
    }
    world.release();
    world.settle().await;
    let pulses = world.sent_where(Sent::is_pulse);
    let runs: Vec<_> = pulses.iter().map(|pulse| pulse.text("_run")).collect();
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[0], runs[1]);
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
    assert!(reports[0].json("_next").is_undefined());
}

#[wasm_bindgen_test]
async fn nothing_is_called_when_the_run_is_refused() {
    let refused = r#"{"accepted":false,"reason":"over"}"#;
    let world = World::with_network(move |_| json(200, refused));
    world.run(&[assignment(1, "{}")]).await;
    assert_eq!(world.sent.borrow().len(), 1);
    assert_contains(&world.logged("run_over")[0], "over");
}

#[wasm_bindgen_test]
async fn a_cancelled_call_is_aborted_in_flight() {
    let world = World::with_network(|sent| match (sent.is_pulse(), sent.records.is_empty()) {
        (true, true) => {
            let id = current_job(1);
            let body = format!(r#"{{"accepted":true,"lease_ms":60000,"cancelled":["{id}"]}}"#);
            json(200, &body)
        }
        (true, false) => started(&sent.records),
        (false, _) if sent.is_report() => accepted("null"),
        _ => Upstream::Hang,
    });
    world.run(&[assignment(1, "{}")]).await;
    let waited = world.now_ms.get() - START_MS as f64;
    assert_eq!(waited, 10_000.0, "until the first pulse after that");
    assert_contains(&world.reports()[0].body, "aborted: its job was cancelled");
}

#[wasm_bindgen_test]
async fn calls_are_aborted_before_the_lease_ends() {
    let mut pulses = 0;
    let world = World::with_network(move |sent| {
        pulses += u32::from(sent.is_pulse());
        match sent.is_pulse() {
            true if pulses == 1 => started(&sent.records),
            true => json(503, ""),
            false => Upstream::Hang,
        }
    });
    world.run(&[assignment(1, "{}")]).await;
    let waited = world.now_ms.get() - START_MS as f64;
    assert_eq!(waited, 55_000.0);
    assert_eq!(world.reports().len(), 0);
    assert_contains(&world.logged("call_aborted")[0], "lease");
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
    let want = 249.0 + 499.0 + 8000.0 + 999.0 + 1999.0 + 9000.0;
    assert_eq!(world.now_ms.get() - START_MS as f64, want);
    assert_eq!(world.logged("database_not_reached").len(), 5);
}

#[wasm_bindgen_test]
async fn a_queue_without_work_is_asked_again() {
    let mut asked = 0;
    let world = World::with_network(move |sent| {
        if sent.is_report() {
            return json(200, r#"{"accepted":true,"again_in_ms":70}"#);
        }
        if sent.is_pulse() && sent.records.is_empty() {
            asked += 1;
            if asked == 2 {
                return started(&[assignment(2, "{}")]);
            }
            let queue = sent.json("_request.queues");
            let id = js_sys::Array::from(&queue).get(0);
            let id = support::get(&id, "id").as_string().unwrap();
            let again = if asked < 4 { "30" } else { "null" };
            let body = format!(
                r#"{{"accepted":true,"lease_ms":60000,"queues":[{{"id":"{id}","again_in_ms":{again}}}]}}"#
            );
            return json(200, &body);
        }
        healthy(sent)
    });
    world.run(&[assignment(1, "{}")]).await;
    assert_eq!(world.reported(), [1, 2].map(current_job));
}

#[wasm_bindgen_test]
async fn a_result_that_postgres_rejects_does_not_keep_its_job_from_being_settled() {
    let refused =
        r#"{"code":"22003","message":"value overflows numeric format","details":null,"hint":null}"#;
    let network = move |sent: &Sent| match (sent.is_rpc(), sent.body.contains("1e999999")) {
        (true, true) => json(400, refused),
        (true, false) => healthy(sent),
        (false, _) => json(200, "[1e999999]"),
    };
    let world = World::with_network(network);
    world.run(&[assignment(1, "{}")]).await;
    let reports = world.reports();
    assert_eq!(reports.len(), 2);
    assert_eq!(reports[0].text("_report.result"), "[1e999999]", "as text");
    assert!(reports[1].body.contains(r#""_is_successful":true"#));
    assert_eq!(
        reports[1].text("_report.result.incomplete"),
        "Postgres cannot store it: status 400 22003 value overflows numeric format"
    );
    assert!(world.logged("report_refused")[0].contains("22003 value overflows"));
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
