//! The replies of the function, and who gets which.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod support;

use support::{Reply, SECRET, START_MS, Upstream, World, assert_contains, assignment, job, json};
use wasm_bindgen_test::wasm_bindgen_test;

const STRANGER: &str =
    r#"{"code":"not_signed","message":"the request is not signed by this project's database"}"#;

/// The headers of a dispatch, without a valid signature.
const FORGED: [(&str, &str); 4] = [
    ("content-type", "application/json"),
    ("webhook-id", "a"),
    ("webhook-timestamp", "1"),
    ("webhook-signature", "v1,x"),
];

#[track_caller]
fn assert_reply(reply: &Reply, status: u16, body: &str) {
    assert_eq!((reply.status, reply.body.as_str()), (status, body));
}

#[wasm_bindgen_test]
fn these_tests_run_in_deno() {
    let deno = support::get(&js_sys::global(), "Deno");
    assert!(
        deno.is_object(),
        "these tests prove nothing about the platform unless they run in Deno"
    );
}

#[wasm_bindgen_test]
async fn a_dispatch_is_accepted_before_its_jobs_are_done() {
    let world = World::new(|_| Upstream::Hold);
    let jobs = [1, 2, 3].map(|n| assignment(n, "{}"));
    let answer = world.dispatch(&jobs).await;
    assert_reply(&answer, 202, r#"{"accepted":3}"#);
    assert_eq!(answer.content_type.as_deref(), Some("application/json"));
    assert_eq!(world.reports().len(), 0, "no job is done yet");
    while world.held() < 3 {
        support::turn().await;
    }
    world.release();
    world.settle().await;
    assert_eq!(world.reports().len(), 3, "all jobs are done in the end");
}

#[wasm_bindgen_test]
async fn an_empty_dispatch_is_accepted() {
    let world = World::new(|_| json(200, "{}"));
    assert_eq!(world.dispatch(&[]).await.body, r#"{"accepted":0}"#);
}

#[wasm_bindgen_test]
async fn health_names_the_version_and_the_source_hash() {
    let world = World::new(|_| json(200, "{}"));
    let answer = world.send("GET", &[], None).await;
    let version = env!("CARGO_PKG_VERSION");
    let want = format!(r#"{{"name":"supaqueue","version":"{version}","hash":"0123abcd"}}"#);
    assert_reply(&answer, 200, &want);
}

#[wasm_bindgen_test]
async fn a_self_test_gets_the_health_reply() {
    let world = World::new(|_| json(200, "{}"));
    let answer = world.post("call_1", r#"{"self_test": true}"#).await;
    assert_eq!(answer.status, 200);
    assert_contains(&answer.body, r#""hash":"0123abcd""#);
}

#[wasm_bindgen_test]
async fn an_error_names_the_setting_and_not_its_value() {
    let number = "is not a whole number from 0 to 4294967295";
    let no_key = "is not set, nor is SUPABASE_SECRET_KEYS";
    for (name, value, message) in [
        ("SUPAQUEUE_SECRET", "", "is not set"),
        ("SUPABASE_URL", "", "is not set"),
        ("SUPABASE_SERVICE_ROLE_KEY", "", no_key),
        ("SUPAQUEUE_JOBS_PER_RUN", "hidden", number),
    ] {
        let world = World::new(|_| json(200, "{}"));
        world.set_env(name, value);
        let message = &format!("Cannot start: {name} {message}");
        let want = format!(r#"{{"code":"misconfigured","message":"{message}"}}"#);
        for method in ["GET", "POST"] {
            assert_reply(&world.send(method, &[], None).await, 500, &want);
        }
        assert!(world.logged("misconfigured")[0].contains(message));
    }
}

#[wasm_bindgen_test]
async fn why_a_signature_was_rejected_is_only_logged() {
    let world = World::new(|_| json(200, "{}"));
    let now = (START_MS / 1000).to_string();
    let old = (START_MS / 1000 - 301).to_string();
    let (id, now) = (("webhook-id", "a"), ("webhook-timestamp", &now[..]));
    let old = ("webhook-timestamp", &old[..]);
    let other = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let signature = |text| ("webhook-signature", text);
    let cases: [(&str, &[(&str, &str)]); 4] = [
        ("header webhook-id is missing", &[]),
        ("header webhook-signature is missing", &[id, now]),
        ("no signature matches", &[id, now, signature(other)]),
        ("more than five minutes old", &[id, old, signature("v1,x")]),
    ];
    for (reason, signed) in cases {
        let headers = [&[("content-type", "application/json")], signed].concat();
        let body = r#"{"protocol":2,"current_jobs":[]}"#.into();
        let answer = world.send("POST", &headers, Some(&body)).await;
        assert_reply(&answer, 401, STRANGER);
        let line = world.log.borrow_mut().pop().unwrap();
        assert_contains(&line, reason);
        assert_contains(&line, r#""status":401"#);
    }
    assert_eq!(world.sent.borrow().len(), 0, "nothing was started");
}

#[wasm_bindgen_test]
async fn other_rejections_say_what_was_expected() {
    let world = World::new(|_| json(200, "{}"));
    let body = "{}".into();
    let put = world.send("PUT", &[], Some(&body)).await;
    let allowed = put.allow.as_deref();
    assert_eq!((put.status, allowed), (405, Some("POST, GET, HEAD")));
    let headers = [("content-type", "text/plain")];
    let answer = world.send("POST", &headers, Some(&body)).await;
    assert_eq!(answer.status, 415);
    let answer = world
        .post("msg_1", r#"{"protocol":2,"current_jobs":{}}"#)
        .await;
    assert_eq!(answer.status, 400);
    assert_contains(&answer.body, "expected a list at byte 29");
}

#[wasm_bindgen_test]
async fn a_malformed_record_does_not_keep_the_others_from_running() {
    let world = World::new(|_| json(200, "{}"));
    world.dispatch(&[assignment(1, "{}")]).await;
    let record = format!(
        r#"{{"current_job":{{"id":"{}"}}}}"#,
        support::current_job(1)
    );
    let body = format!(r#"{{"protocol":2,"current_jobs":[{{}},{record}]}}"#);
    let reply = world.post("msg_1", &body).await;
    assert_contains(&reply.body, r#"{"accepted":1,"malformed":"missing field"#);
    world.settle().await;
    assert_contains(&world.logged("record_malformed")[0], "current_job");
}

#[wasm_bindgen_test]
async fn a_reply_says_why_the_last_pulse_was_refused() {
    let world = World::with_network(|_| json(403, r#"{"code":"P0001","message":"closed"}"#));
    world.run(&[assignment(1, "{}")]).await;
    let refused = r#"{"accepted":1,"last_refusal":"status 403 P0001 closed"}"#;
    assert_reply(&world.dispatch(&[assignment(1, "{}")]).await, 202, refused);
    world.settle().await;
    world.set_network(support::healthy);
    world.run(&[assignment(2, "{}")]).await;
    let reply = world.dispatch(&[assignment(3, "{}")]).await;
    assert_reply(&reply, 202, r#"{"accepted":1}"#);
    world.settle().await;
}

#[wasm_bindgen_test]
async fn a_body_above_the_limit_is_not_read_to_its_end() {
    let world = World::new(|_| json(200, "{}"));
    world.set_env("SUPAQUEUE_REQUEST_LIMIT_BYTES", "10000");
    // A stream has no content-length that would give it away.
    let (body, fate) = support::stream::endless(1000);
    assert_eq!(world.send("POST", &FORGED, Some(&body)).await.status, 413);
    assert!(fate.is_cancelled.get(), "the stream was cancelled");
    let chunks = fate.pulled.get();
    assert!(chunks < 15, "{chunks} chunks were read, of which ten fit");
}

#[wasm_bindgen_test]
async fn a_body_that_breaks_off_is_rejected() {
    let world = World::new(|_| json(200, "{}"));
    let (body, _) = support::stream::body(10, 1, |controller| {
        controller.error_with_e(&support::error("Error", "reset"));
        Ok(())
    });
    let answer = world.send("POST", &FORGED, Some(&body)).await;
    let want = r#"{"code":"not_understood","message":"the body ended early"}"#;
    assert_reply(&answer, 400, want);
}

#[wasm_bindgen_test]
async fn no_secret_and_no_payload_is_logged() {
    let rejected = r#"{"code":"22P05","message":"no","details":"hidden-details"}"#;
    let world = World::with_network(move |sent| match sent.is_rpc() {
        true if sent.body.contains("hidden") => json(400, rejected),
        true => support::healthy(sent),
        false => json(500, "hidden-answer"),
    });
    let payload = r#"{"text":"hidden-payload"}"#;
    world.run(&[assignment(1, payload)]).await;
    let headers = [("authorization", "hidden-header")];
    let body = "hidden-body".into();
    world.send("POST", &headers, Some(&body)).await;
    let log = world.log.borrow().join("\n");
    assert!(log.contains(&job(1)), "the job is logged: {log}");
    for hidden in ["hidden", SECRET, &SECRET[6..], support::SERVICE_KEY, "v1,"] {
        assert!(!log.contains(hidden), "{hidden} is in the log:\n{log}");
    }
}
