//! Calls of targets, and how each of their ends is reported.

#![allow(clippy::unwrap_used, reason = "a test that fails here says where")]

mod support;

use std::rc::Rc;

use support::{Sent, Upstream, World, assert_contains, assignment, error, get, job, json};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen_test::wasm_bindgen_test;

/// Runs one job against a target that gives this reply; returns the report's body.
async fn report(reply: impl FnMut(&Sent) -> Upstream + 'static) -> (Rc<World>, String) {
    let world = World::new(reply);
    world.run(&[assignment(1, "{}")]).await;
    let reports = world.reports();
    assert_eq!(reports.len(), 1, "a job is reported once");
    let body = reports[0].body.clone();
    (world, body)
}

#[wasm_bindgen_test]
async fn a_payload_reaches_the_target_byte_by_byte() {
    let long = format!(r#""{}""#, "ä😀".repeat(200_000));
    for payload in [
        "{\"n\": 123456789012345678901234567890.10, \"n\": 1}",
        "\"\\u20ac and \\ud83d\\ude00, and € and 😀 and \u{2028}\"",
        "[[[[[[[[[[[[[[[[{}]]]]]]]]]]]]]]]]",
        &long,
    ] {
        let world = World::new(|_| json(200, "{}"));
        world.run(&[assignment(1, payload)]).await;
        let got = &world.calls()[0].body;
        assert!(got == payload, "the target got {got}");
    }
}

#[wasm_bindgen_test]
async fn a_call_is_a_post_with_our_headers_and_follows_no_redirect() {
    let (world, body) = report(|_| json(302, "")).await;
    let call = &world.calls()[0];
    assert_eq!(call.url, "http://project/functions/v1/send-mail");
    assert_eq!(get(&call.init, "method"), "POST");
    assert_eq!(get(&call.init, "redirect"), "manual");
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-ffffffffffffffff-01";
    let want = [
        ("authorization", "Bearer service-role-jwt"),
        ("content-type", "application/json"),
        ("idempotency-key", &job(1)),
        ("supaqueue-queue", "mail"),
        ("supaqueue-attempt", "1"),
        ("supaqueue-deadline", "2026-11-23T07:13:39.000Z"),
        ("traceparent", traceparent),
    ];
    for (name, value) in want {
        assert_eq!(call.header(name).as_deref(), Some(value), "{name}");
    }
    assert_contains(&body, "redirects are not followed");
}

#[wasm_bindgen_test]
async fn a_json_response_is_kept_unparsed() {
    let (_, body) = report(|_| json(200, r#"{"n": 12345678901234567890.10}"#)).await;
    assert_contains(&body, r#""result":{"n": 12345678901234567890.10}"#);
}

#[wasm_bindgen_test]
async fn a_call_without_a_response_ends_at_its_timeout() {
    let (_, body) = report(|_| Upstream::Hang).await;
    let want = r#""duration_ms":60000,"error":{"message":"no answer within 60000 ms"}"#;
    assert_contains(&body, want);
}

#[wasm_bindgen_test]
async fn anything_that_fetch_throws_is_a_network_error() {
    let refused = error("TypeError", "error sending request");
    let no_reason = "network error: the runtime gave no reason";
    let cases = [
        (refused, "network error: error sending request"),
        ("just text".into(), "network error: just text"),
        (wasm_bindgen::JsValue::UNDEFINED, no_reason),
        (7.into(), no_reason),
    ];
    for (thrown, want) in cases {
        for how in [Upstream::Throw, Upstream::ThrowAtOnce] {
            let thrown = thrown.clone();
            let (_, body) = report(move |_| how(thrown.clone())).await;
            assert_contains(&body, want);
        }
    }
}

#[wasm_bindgen_test]
async fn a_response_is_read_up_to_the_limit_and_no_further() {
    for (status, path, kept) in [
        (200, "_report.result", 2500),
        (500, "_report.error.body", 2048),
    ] {
        let (body, fate) = support::stream::endless(1000);
        let world = World::new(move |_| Upstream::Stream {
            status,
            body: body.clone(),
        });
        world.set_env("SUPAQUEUE_RESULT_LIMIT_BYTES", "2500");
        world.run(&[assignment(1, "{}")]).await;
        let report = &world.reports()[0];
        assert_eq!(report.text(path), "x".repeat(kept), "status {status}");
        assert!(fate.is_cancelled.get(), "the stream was cancelled");
        let chunks = fate.pulled.get();
        assert!(chunks <= 5, "{chunks} chunks were read instead of three");
    }
}

#[wasm_bindgen_test]
async fn a_response_of_any_declared_length_is_read_up_to_the_limit() {
    let gzip = Some("gzip");
    for (declared, encoding, length) in [
        ("2500", None, 2500),
        ("100", None, 4000),
        ("4000", None, 4000),
        ("40", gzip, 4000),
        ("-1", None, 300),
        ("many", None, 300),
    ] {
        let world = World::new(move |_| {
            let mut headers = vec![
                ("content-type", "text/plain".to_owned()),
                ("content-length", declared.to_owned()),
            ];
            headers.extend(encoding.map(|name| ("content-encoding", name.to_owned())));
            Upstream::Respond {
                status: 200,
                headers,
                body: "x".repeat(length),
            }
        });
        world.set_env("SUPAQUEUE_RESULT_LIMIT_BYTES", "2500");
        world.run(&[assignment(1, "{}")]).await;
        let reports = world.reports();
        assert_eq!(
            reports[0].text("_report.result"),
            "x".repeat(length.min(2500)),
            "{length} bytes, declared as {declared}"
        );
    }
}

#[wasm_bindgen_test]
async fn a_successful_response_that_breaks_off_is_marked_as_incomplete() {
    let broken = |_: &Sent| {
        let (body, _) = support::stream::body(3, 1, |controller| {
            controller.error_with_e(&error("TypeError", "connection reset"));
            Ok(())
        });
        Upstream::Stream { status: 200, body }
    };
    let (_, body) = report(broken).await;
    assert_contains(&body, r#""_is_successful":true"#);
    let want = r#""result":{"incomplete":"connection reset","body":"xxx"}"#;
    assert_contains(&body, want);
}

#[wasm_bindgen_test]
async fn a_successful_response_that_does_not_end_is_cut_off_at_the_timeout() {
    let world = World::new(|_| json(200, "{}"));
    let hanging = move |sent: &Sent| {
        if sent.is_rpc() {
            return support::healthy(sent);
        }
        let signal: web_sys::AbortSignal = get(&sent.init, "signal").unchecked_into();
        let (body, _) = support::stream::body(3, 1, move |controller| {
            let controller = controller.clone();
            let end = Closure::<dyn FnMut()>::new(move || {
                controller.error_with_e(&error("AbortError", "The signal has been aborted"));
            });
            signal.set_onabort(Some(end.into_js_value().unchecked_ref()));
            Ok(())
        });
        Upstream::Stream { status: 200, body }
    };
    world.set_network(hanging);
    world.run(&[assignment(1, "{}")]).await;
    let want = r#"{"incomplete":"cut off after 60000 ms","body":"xxx"}"#;
    assert_contains(&world.reports()[0].body, want);
}

fn rate_limited(retry_after_ms: u32) -> Upstream {
    let error = error("RateLimitError", "too many");
    support::set(&error, "retryAfterMs", &retry_after_ms.into());
    Upstream::Throw(error)
}

#[wasm_bindgen_test]
async fn a_call_that_the_runtime_holds_back_is_given_back() {
    let (_, body) = report(|_| rate_limited(1500)).await;
    assert_contains(&body, r#""retry_after_ms":1500,"is_attempt":false"#);
    assert!(!body.contains("_next"), "{body}");
}

#[wasm_bindgen_test]
async fn an_impossible_call_fails_for_good() {
    let world = World::new(|_| json(200, "{}"));
    let impossible = assignment(1, "{}").replace("send-mail", "../rest");
    world.run(&[impossible]).await;
    assert_eq!(world.calls().len(), 0);
    let body = &world.reports()[0].body;
    assert_contains(body, "not the name of an edge function");
    assert_contains(body, r#""is_final":true"#);
}
