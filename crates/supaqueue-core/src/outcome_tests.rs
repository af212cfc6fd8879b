use super::*;

const NOW: Timestamp = Timestamp::from_ms(784_111_777_000);

fn response(status: u16, body: &str) -> Response {
    Response {
        status,
        body: body.into(),
        ..Response::default()
    }
}

fn report(end: Result<Response, Failure>) -> (bool, String) {
    show(outcome(end, &[404, 503], 60_000, NOW))
}

fn show(outcome: Outcome) -> (bool, String) {
    match outcome {
        Outcome::Settled {
            is_successful,
            report,
        } => (is_successful, report.object().end()),
        Outcome::NotMade { retry_after_ms } => panic!("not made, {retry_after_ms}"),
    }
}

#[test]
fn the_response_of_a_successful_call_is_kept() {
    let typed = |content_type: &str, body| Response {
        content_type: Some(content_type.into()),
        ..response(200, body)
    };
    let json = |body| typed("application/JSON; charset=utf-8", body);
    let ended = |body_end, body| Response {
        body_end,
        ..json(body)
    };
    let failed = BodyEnd::Failed("connection\nreset".into());
    #[rustfmt::skip] // one case per line
    let cases = [
        (response(200, ""), r#"{"http_status":200}"#),
        (response(204, ""), r#"{"http_status":204}"#),
        (response(200, "done \"now\""), r#"{"http_status":200,"result":"done \"now\""}"#),
        (response(201, r#" {"a": 1.10} "#), r#"{"http_status":201,"result":{"a": 1.10}}"#),
        (response(200, "[1] and more"), r#"{"http_status":200,"result":"[1] and more"}"#),
        (response(200, "12345678901234567890123"), r#"{"http_status":200,"result":"12345678901234567890123"}"#),
        (json("12345678901234567890123"), r#"{"http_status":200,"result":12345678901234567890123}"#),
        (typed("text/plain", "12"), r#"{"http_status":200,"result":"12"}"#),
        (json("null"), r#"{"http_status":200,"result":null}"#),
        (json(""), r#"{"http_status":200}"#),
        (json("{\"a\":"), r#"{"http_status":200,"result":"{\"a\":"}"#),
        (json(r#"{"a":"\u0000"}"#), r#"{"http_status":200,"result":"{\"a\":\"\\u0000\"}"}"#),
        (json(r#"{"a":"\\u0000"}"#), r#"{"http_status":200,"result":{"a":"\\u0000"}}"#),
        (json(r#"["\ud800"]"#), r#"{"http_status":200,"result":"[\"\\ud800\"]"}"#),
        (json("1e400000"), r#"{"http_status":200,"result":"1e400000"}"#),
        (Response { body: b"[\"a\xFFb\"]".into(), ..response(200, "") }, "{\"http_status\":200,\"result\":[\"a\u{FFFD}b\"]}"),
        (response(200, "a\0b"), "{\"http_status\":200,\"result\":\"a\u{FFFD}b\"}"),
        (ended(failed, r#"{"a":1"#), r#"{"http_status":200,"result":{"incomplete":"connection reset","body":"{\"a\":1"}}"#),
        (ended(BodyEnd::Aborted, "xxx"), r#"{"http_status":200,"result":{"incomplete":"cut off after 60000 ms","body":"xxx"}}"#),
        (ended(BodyEnd::Truncated, r#"{"a":1"#), r#"{"http_status":200,"result":"{\"a\":1"}"#),
        (ended(BodyEnd::Truncated, "12"), r#"{"http_status":200,"result":"12"}"#),
    ];
    for (given, want) in cases {
        let name = format!("{given:?}");
        assert_eq!(report(Ok(given)), (true, want.to_owned()), "{name}");
    }
}

#[test]
fn the_error_of_a_failed_call_is_kept() {
    let with = |status, retry_after: &str, supaqueue_retry: &str| Response {
        retry_after: Some(retry_after.into()),
        supaqueue_retry: Some(supaqueue_retry.into()),
        ..response(status, "")
    };
    let network = Failure::Network("dns\n\0".into());
    #[rustfmt::skip] // one case per line, or two where the report is long
    let cases = [
        (Ok(response(500, "oh no")), r#"{"http_status":500,"error":{"message":"status 500","body":"oh no"}}"#),
        (Ok(response(404, "")), r#"{"http_status":404,"error":{"message":"status 404"},"is_final":true}"#),
        (Ok(response(302, "")), r#"{"http_status":302,"error":{"message":"status 302: redirects are not followed"}}"#),
        (Ok(with(429, "7", "")), r#"{"http_status":429,"error":{"message":"status 429"},"retry_after_ms":7000}"#),
        (Ok(with(503, "Sun, 06 Nov 1994 08:49:47 GMT", "")),
            r#"{"http_status":503,"error":{"message":"status 503: the target or the platform is unavailable"},"retry_after_ms":10000,"is_final":true}"#),
        (Ok(with(500, "7", "")), r#"{"http_status":500,"error":{"message":"status 500"}}"#),
        (Ok(with(422, "", " NO ")), r#"{"http_status":422,"error":{"message":"status 422"},"is_final":true}"#),
        (Ok(with(422, "", "yes")), r#"{"http_status":422,"error":{"message":"status 422"}}"#),
        (Ok(response(504, "")),
            r#"{"http_status":504,"error":{"message":"status 504: the platform had no answer from the target in time"}}"#),
        (Ok(response(546, "")),
            r#"{"http_status":546,"error":{"message":"status 546: the platform stopped the target at a resource limit"}}"#),
        (Err(Failure::Aborted), r#"{"error":{"message":"no answer within 60000 ms"}}"#),
        (Err(network), "{\"error\":{\"message\":\"network error: dns \u{FFFD}\"}}"),
    ];
    for (end, want) in cases {
        let name = format!("{end:?}");
        assert_eq!(report(end), (false, want.to_owned()), "{name}");
    }
}

#[test]
fn json_that_is_nested_too_deep_for_postgres_is_kept_as_text() {
    let nested = |levels| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let (_, kept) = report(Ok(response(200, &nested(501))));
    let want = format!(r#"{{"http_status":200,"result":{}}}"#, nested(501));
    assert_eq!(
        kept, want,
        "an empty value is a level that nothing recurses into"
    );
    let (_, kept) = report(Ok(response(200, &nested(100_000))));
    assert!(kept.starts_with(r#"{"http_status":200,"result":"[["#));
}

#[test]
fn the_start_of_an_error_body_is_kept() {
    let (_, kept) = report(Ok(response(500, &"é".repeat(5000))));
    assert_eq!(kept.matches('é').count(), ERROR_BODY_BYTES / 2);
}

#[test]
fn a_call_that_the_runtime_held_back_is_no_attempt() {
    for (retry_after_ms, want) in [(0, 0), (1234, 1234), (u64::MAX, i32::MAX as u32)] {
        let failure = Failure::RateLimited { retry_after_ms };
        match outcome(Err(failure), &[], 1, NOW) {
            Outcome::NotMade { retry_after_ms } => assert_eq!(retry_after_ms, want),
            Outcome::Settled { .. } => panic!("a rate limit settled the attempt"),
        }
    }
}

#[test]
fn an_impossible_call_fails_for_good() {
    let want = r#"{"error":{"message":"no way"},"is_final":true}"#;
    let reason = CannotCall::Ever("no\nway".into());
    assert_eq!(show(impossible(&reason)), (false, want.to_owned()));
}

#[test]
fn a_call_that_the_project_is_not_ready_for_is_no_attempt() {
    let want = r#"{"error":{"message":"no key"},"is_attempt":false,"problem":"no key"}"#;
    let reason = CannotCall::Yet("no\nkey".into());
    assert_eq!(show(impossible(&reason)), (false, want.to_owned()));
}
