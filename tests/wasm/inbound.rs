//! The replies of the function, and who gets which.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod support;

use supaqueue_core::signature::{Keys, sign};
use supaqueue_core::time::Timestamp;
use support::{SECRET, START_MS, Upstream, World, assignment, job, json};
use wasm_bindgen::prelude::JsValue;
use wasm_bindgen_test::wasm_bindgen_test;

const STRANGER: &str =
    r#"{"code":"not_signed","message":"the request is not signed by this project's database"}"#;

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
    let answer = world
        .dispatch(&[
            assignment(1, "{}"),
            assignment(2, "{}"),
            assignment(3, "{}"),
        ])
        .await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (202, r#"{"accepted":3}"#)
    );
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
    assert_eq!(
        answer.body,
        format!(r#"{{"name":"supaqueue","version":"{version}","hash":"0123abcd"}}"#)
    );
    assert_eq!(answer.status, 200);
}

#[wasm_bindgen_test]
async fn a_self_test_gets_the_health_reply() {
    let world = World::new(|_| json(200, "{}"));
    let body = r#"{"self_test": true}"#;
    let signature = sign(
        &Keys::parse(SECRET).unwrap(),
        "call_1",
        Timestamp::from_ms(START_MS),
        body.as_bytes(),
    );
    let timestamp = (START_MS / 1000).to_string();
    let headers = [
        ("content-type", "application/json"),
        ("webhook-id", "call_1"),
        ("webhook-timestamp", &timestamp),
        ("webhook-signature", &signature),
    ];
    let answer = world.send("POST", &headers, Some(&body.into())).await;
    assert_eq!(answer.status, 200);
    assert!(
        answer.body.contains(r#""hash":"0123abcd""#),
        "{}",
        answer.body
    );
}

#[wasm_bindgen_test]
async fn an_error_names_the_setting_and_not_its_value() {
    let cases = [
        (
            "SUPAQUEUE_SECRET",
            "",
            "Cannot start: SUPAQUEUE_SECRET is not set",
        ),
        ("SUPABASE_URL", "", "Cannot start: SUPABASE_URL is not set"),
        (
            "SUPABASE_SERVICE_ROLE_KEY",
            "",
            "Cannot start: SUPABASE_SERVICE_ROLE_KEY is not set, nor is SUPABASE_SECRET_KEYS",
        ),
        (
            "SUPAQUEUE_JOBS_PER_RUN",
            "hidden",
            "Cannot start: SUPAQUEUE_JOBS_PER_RUN is not a whole number from 0 to 4294967295",
        ),
    ];
    for (name, value, message) in cases {
        let world = World::new(|_| json(200, "{}"));
        world.set_env(name, value);
        for method in ["GET", "POST"] {
            let answer = world.send(method, &[], None).await;
            assert_eq!(answer.status, 500);
            assert_eq!(
                answer.body,
                format!(r#"{{"code":"misconfigured","message":"{message}"}}"#)
            );
        }
        assert!(world.logged("misconfigured")[0].contains(message));
    }
}

#[wasm_bindgen_test]
async fn why_a_signature_was_rejected_is_only_logged() {
    let world = World::new(|_| json(200, "{}"));
    let now = (START_MS / 1000).to_string();
    let old = (START_MS / 1000 - 301).to_string();
    let cases: [(&str, &[(&str, &str)]); 4] = [
        ("header webhook-id is missing", &[]),
        (
            "header webhook-signature is missing",
            &[("webhook-id", "a"), ("webhook-timestamp", &now)],
        ),
        (
            "no signature matches",
            &[
                ("webhook-id", "a"),
                ("webhook-timestamp", &now),
                (
                    "webhook-signature",
                    "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
                ),
            ],
        ),
        (
            "more than five minutes old",
            &[
                ("webhook-id", "a"),
                ("webhook-timestamp", &old),
                ("webhook-signature", "v1,x"),
            ],
        ),
    ];
    for (reason, signed) in cases {
        let headers = [&[("content-type", "application/json")], signed].concat();
        let answer = world
            .send("POST", &headers, Some(&r#"{"current_jobs":[]}"#.into()))
            .await;
        assert_eq!((answer.status, answer.body.as_str()), (401, STRANGER));
        let line = world.log.borrow_mut().pop().unwrap();
        assert!(
            line.contains(reason) && line.contains(r#""status":401"#),
            "{reason}: {line}"
        );
    }
    assert_eq!(world.sent.borrow().len(), 0, "nothing was started");
}

#[wasm_bindgen_test]
async fn other_rejections_say_what_was_expected() {
    let world = World::new(|_| json(200, "{}"));
    let put = world.send("PUT", &[], Some(&"{}".into())).await;
    assert_eq!(
        (put.status, put.allow.as_deref()),
        (405, Some("POST, GET, HEAD"))
    );
    assert_eq!(
        world
            .send(
                "POST",
                &[("content-type", "text/plain")],
                Some(&"{}".into())
            )
            .await
            .status,
        415
    );
    let answer = world.post(r#"{"current_jobs":[{}]}"#).await;
    assert_eq!(answer.status, 400);
    assert!(
        answer
            .body
            .contains("missing field `current_job` at byte 18"),
        "{}",
        answer.body
    );
}

#[wasm_bindgen_test]
async fn a_body_above_the_limit_is_not_read_to_its_end() {
    let world = World::new(|_| json(200, "{}"));
    world.set_env("SUPAQUEUE_REQUEST_LIMIT_BYTES", "10000");
    let headers = [
        ("content-type", "application/json"),
        ("webhook-id", "a"),
        ("webhook-timestamp", "1"),
        ("webhook-signature", "v1,x"),
    ];
    // A stream has no content-length that would give it away.
    let (body, fate) = support::stream::endless(1000);
    assert_eq!(world.send("POST", &headers, Some(&body)).await.status, 413);
    assert!(fate.is_cancelled.get(), "the stream was cancelled");
    assert!(
        fate.pulled.get() < 15,
        "{} chunks were read, of which ten fit",
        fate.pulled.get()
    );
}

#[wasm_bindgen_test]
async fn a_body_that_breaks_off_is_rejected() {
    let world = World::new(|_| json(200, "{}"));
    let headers = [
        ("content-type", "application/json"),
        ("webhook-id", "a"),
        ("webhook-timestamp", "1"),
        ("webhook-signature", "v1,x"),
    ];
    let (body, _) = support::stream::body(10, 1, |controller| {
        controller.error_with_e(&support::error("Error", "reset"));
        Ok(())
    });
    let answer = world.send("POST", &headers, Some(&body)).await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (
            400,
            r#"{"code":"not_understood","message":"the body ended early"}"#
        )
    );
}

#[wasm_bindgen_test]
async fn no_secret_and_no_payload_is_logged() {
    let world = World::with_network(|sent| match (sent.is_rpc(), sent.url.as_str()) {
        (true, _) if sent.is_report() => json(
            400,
            r#"{"code":"22P05","message":"no","details":"hidden-details"}"#,
        ),
        (true, _) => support::accepted("null"),
        (false, _) => json(500, "hidden-answer"),
    });
    world
        .dispatch(&[assignment(1, r#"{"text":"hidden-payload"}"#)])
        .await;
    world.settle().await;
    world
        .send(
            "POST",
            &[("authorization", "hidden-header")],
            Some(&JsValue::from_str("hidden-body")),
        )
        .await;
    let log = world.log.borrow().join("\n");
    assert!(log.contains(&job(1)), "the job is logged: {log}");
    for hidden in ["hidden", SECRET, &SECRET[6..], support::SERVICE_KEY, "v1,"] {
        assert!(!log.contains(hidden), "{hidden} is in the log:\n{log}");
    }
}
