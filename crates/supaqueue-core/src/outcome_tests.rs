use super::*;

const NOW: Timestamp = Timestamp::from_ms(784_111_777_000);

fn answer(status: u16, body: &str) -> TargetAnswer {
    TargetAnswer {
        status,
        body: body.into(),
        ..TargetAnswer::default()
    }
}

fn report(end: CallEnd) -> (bool, String) {
    match outcome(end, &[404, 503], 60_000, NOW) {
        Outcome::Settled {
            is_successful,
            report,
        } => (is_successful, report.object().end()),
        Outcome::NotMade { retry_after_ms } => panic!("not made, {retry_after_ms}"),
    }
}

#[test]
fn what_is_kept_of_a_success() {
    let json = |body: &str| TargetAnswer {
        content_type: Some("application/JSON; charset=utf-8".into()),
        ..answer(200, body)
    };
    let cases = [
        (answer(200, ""), r#"{"http_status":200}"#),
        (answer(204, ""), r#"{"http_status":204}"#),
        (
            answer(200, "done \"now\""),
            r#"{"http_status":200,"result":"done \"now\""}"#,
        ),
        (
            answer(201, r#" {"a": 1.10} "#),
            r#"{"http_status":201,"result":{"a": 1.10}}"#,
        ),
        (
            answer(200, "[1] and more"),
            r#"{"http_status":200,"result":"[1] and more"}"#,
        ),
        (
            answer(200, "12345678901234567890123"),
            r#"{"http_status":200,"result":"12345678901234567890123"}"#,
        ),
        (
            json("12345678901234567890123"),
            r#"{"http_status":200,"result":12345678901234567890123}"#,
        ),
        (json("null"), r#"{"http_status":200,"result":null}"#),
        (json(""), r#"{"http_status":200}"#),
        (json("{\"a\":"), r#"{"http_status":200,"result":"{\"a\":"}"#),
        (
            json(r#"{"a":"\u0000"}"#),
            r#"{"http_status":200,"result":"{\"a\":\"\\u0000\"}"}"#,
        ),
        (
            answer(200, "a\0b"),
            "{\"http_status\":200,\"result\":\"a\u{FFFD}b\"}",
        ),
        (
            TargetAnswer {
                body_end: BodyEnd::Broken("connection\nreset".into()),
                ..json("{\"a\":1")
            },
            r#"{"http_status":200,"result":{"incomplete":"connection reset","body":"{\"a\":1"}}"#,
        ),
        (
            TargetAnswer {
                body_end: BodyEnd::Cut,
                ..json("{\"a\":1")
            },
            r#"{"http_status":200,"result":"{\"a\":1"}"#,
        ),
        (
            TargetAnswer {
                body_end: BodyEnd::Cut,
                ..json("12")
            },
            r#"{"http_status":200,"result":"12"}"#,
        ),
    ];
    for (given, want) in cases {
        let name = format!("{given:?}");
        assert_eq!(
            report(CallEnd::Answered(given)),
            (true, want.to_owned()),
            "{name}"
        );
    }
}

#[test]
fn what_is_kept_of_a_failure() {
    let with = |status, retry_after: &str, supaqueue_retry: &str| TargetAnswer {
        retry_after: Some(retry_after.into()),
        supaqueue_retry: Some(supaqueue_retry.into()),
        ..answer(status, "")
    };
    let cases = [
        (
            CallEnd::Answered(answer(500, "oh no")),
            r#"{"http_status":500,"error":{"message":"status 500","body":"oh no"}}"#,
        ),
        (
            CallEnd::Answered(answer(404, "")),
            r#"{"http_status":404,"error":{"message":"status 404"},"is_final":true}"#,
        ),
        (
            CallEnd::Answered(answer(302, "")),
            r#"{"http_status":302,"error":{"message":"status 302: redirects are not followed"}}"#,
        ),
        (
            CallEnd::Answered(with(429, "7", "")),
            r#"{"http_status":429,"error":{"message":"status 429"},"retry_after_ms":7000}"#,
        ),
        (
            CallEnd::Answered(with(503, "Sun, 06 Nov 1994 08:49:47 GMT", "")),
            r#"{"http_status":503,"error":{"message":"status 503: the target or the platform is unavailable"},"retry_after_ms":10000,"is_final":true}"#,
        ),
        (
            CallEnd::Answered(with(500, "7", "")),
            r#"{"http_status":500,"error":{"message":"status 500"}}"#,
        ),
        (
            CallEnd::Answered(with(422, "", " NO ")),
            r#"{"http_status":422,"error":{"message":"status 422"},"is_final":true}"#,
        ),
        (
            CallEnd::Answered(with(422, "", "yes")),
            r#"{"http_status":422,"error":{"message":"status 422"}}"#,
        ),
        (
            CallEnd::Answered(answer(504, "")),
            r#"{"http_status":504,"error":{"message":"status 504: the platform had no answer from the target in time"}}"#,
        ),
        (
            CallEnd::Answered(answer(546, "")),
            r#"{"http_status":546,"error":{"message":"status 546: the platform stopped the target at a resource limit"}}"#,
        ),
        (
            CallEnd::TimedOut,
            r#"{"error":{"message":"no answer within 60000 ms"}}"#,
        ),
        (
            CallEnd::Network("dns\n\0".into()),
            "{\"error\":{\"message\":\"network error: dns \u{FFFD}\"}}",
        ),
        (
            CallEnd::Impossible("no".into()),
            r#"{"error":{"message":"no"},"is_final":true}"#,
        ),
    ];
    for (end, want) in cases {
        let name = format!("{end:?}");
        assert_eq!(report(end), (false, want.to_owned()), "{name}");
    }
}

#[test]
fn an_excerpt_of_a_failures_body_is_kept() {
    let (_, kept) = report(CallEnd::Answered(answer(500, &"é".repeat(5000))));
    assert_eq!(kept.matches('é').count(), ERROR_BODY_BYTES / 2);
}

#[test]
fn a_call_that_the_runtime_did_not_make_is_no_attempt() {
    for (given, want) in [(0, 0), (1234, 1234), (u64::MAX, i32::MAX as u32)] {
        match outcome(
            CallEnd::RateLimited {
                retry_after_ms: given,
            },
            &[],
            1,
            NOW,
        ) {
            Outcome::NotMade { retry_after_ms } => assert_eq!(retry_after_ms, want),
            Outcome::Settled { .. } => panic!("a rate limit settled the attempt"),
        }
    }
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let cases = [
        ("0", Some(0)),
        (" 120 ", Some(120_000)),
        ("99999999999999999999999", Some(i32::MAX as u32)),
        ("Sun, 06 Nov 1994 08:49:38 GMT", Some(1000)),
        ("Sun, 06 Nov 1994 08:49:36 GMT", Some(0)),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
    ];
    for (value, want) in cases {
        assert_eq!(retry_after_ms(value, NOW), want, "{value:?}");
    }
}
