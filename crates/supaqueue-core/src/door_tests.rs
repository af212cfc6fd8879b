use super::*;
use crate::config::settings;
use crate::signature::sign;

const SECRET: &str = "whsec_c3VwYXF1ZXVlLXRlc3Qta2V5LTMyLWJ5dGVzLWxvbmc=";
const NOW: Timestamp = Timestamp::from_ms(1_795_417_959_123);

fn configured(limit: &str) -> Settings {
    let value = |name: &str| match name {
        "SUPAQUEUE_SECRET" => Some(SECRET),
        "SUPABASE_URL" => Some("http://x"),
        "SUPABASE_SERVICE_ROLE_KEY" => Some("jwt"),
        "SUPAQUEUE_REQUEST_LIMIT_BYTES" => Some(limit),
        _ => None,
    };
    settings(&|name| value(name).map(str::to_owned))
        .ok()
        .unwrap()
}

/// Comes to the door as the function does, and says what happens there.
fn come(head: Head<'_>, body: &[u8]) -> Result<usize, (u16, &'static str, String)> {
    let settings = configured("60");
    let signed = check_head(&head, &settings);
    let result = signed.and_then(|signed| check_body(signed, body, &settings, NOW));
    let told = |rejection: Rejection| (rejection.status, rejection.code, rejection.message);
    let jobs = |admitted| match admitted {
        Admitted::Dispatch(dispatch) => dispatch.current_jobs.len(),
        Admitted::SelfTest => 1_000_000,
    };
    result.map(jobs).map_err(told)
}

#[test]
fn each_kind_of_request_gets_its_answer() {
    let body = br#"{"current_jobs":[]}"#;
    let signature = sign(&configured("60").keys, "a", NOW, body);
    let seconds = NOW.seconds().to_string();
    let good = Head {
        method: "POST",
        content_type: Some("application/json"),
        content_length: Some("19"),
        id: Some("a"),
        timestamp: Some(&seconds),
        signature: Some(&signature),
    };
    let unsigned = (
        401,
        "not_signed",
        "the request is not signed by this project's database".to_owned(),
    );
    let method = (
        405,
        "method_not_allowed",
        "use POST, or GET for the function's health".to_owned(),
    );
    let large = (
        413,
        "too_large",
        "the body is larger than 60 bytes".to_owned(),
    );
    let media = (
        415,
        "unsupported_media_type",
        "content-type is not application/json".to_owned(),
    );

    assert_eq!(come(good, body), Ok(0));
    let cases = [
        (
            "PUT",
            Head {
                method: "PUT",
                ..good
            },
            Err(method.clone()),
        ),
        ("no method", Head { method: "", ..good }, Err(method)),
        (
            "a length at the limit",
            Head {
                content_length: Some("60"),
                ..good
            },
            Ok(0),
        ),
        (
            "a length above it",
            Head {
                content_length: Some("61"),
                ..good
            },
            Err(large),
        ),
        (
            "a length that is none",
            Head {
                content_length: Some("x"),
                ..good
            },
            Ok(0),
        ),
        (
            "no length",
            Head {
                content_length: None,
                ..good
            },
            Ok(0),
        ),
        (
            "a charset",
            Head {
                content_type: Some("Application/JSON; charset=utf-8"),
                ..good
            },
            Ok(0),
        ),
        (
            "text",
            Head {
                content_type: Some("text/plain"),
                ..good
            },
            Err(media.clone()),
        ),
        (
            "no type",
            Head {
                content_type: None,
                ..good
            },
            Err(media),
        ),
        ("no id", Head { id: None, ..good }, Err(unsigned.clone())),
        (
            "no timestamp",
            Head {
                timestamp: None,
                ..good
            },
            Err(unsigned.clone()),
        ),
        (
            "no signature",
            Head {
                signature: None,
                ..good
            },
            Err(unsigned.clone()),
        ),
        (
            "another id",
            Head {
                id: Some("b"),
                ..good
            },
            Err(unsigned.clone()),
        ),
    ];
    for (name, head, want) in cases {
        assert_eq!(come(head, body), want, "{name}");
    }
    assert_eq!(
        come(good, br#"{"current_jobs":[ ]}"#),
        Err(unsigned),
        "a changed body"
    );
}

#[test]
fn a_signed_body_that_is_no_dispatch_is_told_where() {
    let cases: [(&[u8], u16, &str); 5] = [
        (
            b"",
            400,
            "the body is not a dispatch: expected more at byte 0",
        ),
        (
            b"{\"current_jobs\":1}",
            400,
            "the body is not a dispatch: expected a sequence at byte 16",
        ),
        (
            b"{\"current_jobs\":[\xFF]}",
            400,
            "the body is not UTF-8 from byte 17",
        ),
        (
            b"{\"current_jobs\":[{}]}",
            400,
            "the body is not a dispatch: missing field `current_job` at byte 18",
        ),
        (&[b' '; 61], 413, "the body is larger than 60 bytes"),
    ];
    let seconds = NOW.seconds().to_string();
    for (body, status, message) in cases {
        let signature = sign(&configured("60").keys, "a", NOW, body);
        let head = Head {
            method: "POST",
            content_type: Some("application/json"),
            content_length: None,
            id: Some("a"),
            timestamp: Some(&seconds),
            signature: Some(&signature),
        };
        let (got, _, told) = come(head, body).unwrap_err();
        assert_eq!((got, told.as_str()), (status, message));
    }
}

#[test]
fn of_calls_to_targets_only_a_self_test_comes_in() {
    let cases: [(&str, &[u8], bool); 4] = [
        ("call_1", br#"{"self_test": true}"#, true),
        ("call_1", br#"{"current_jobs":[]}"#, false),
        ("call_", b"", false),
        ("a", br#"{"self_test": true}"#, false),
    ];
    let settings = configured("60");
    let seconds = NOW.seconds().to_string();
    for (id, body, want) in cases {
        let signature = sign(&settings.keys, id, NOW, body);
        let headers = SignedHeaders {
            id,
            timestamp: &seconds,
            signature: &signature,
        };
        let admitted = check_body(headers, body, &settings, NOW);
        assert_eq!(
            matches!(admitted, Ok(Admitted::SelfTest)),
            want,
            "{id} {body:?}"
        );
        if id != "a" && !want {
            assert_eq!(
                admitted.unwrap_err().reason,
                Some(Refusal::NotADispatch),
                "{id} {body:?}"
            );
        }
    }
    let unsigned = SignedHeaders {
        id: "call_1",
        timestamp: &seconds,
        signature: "v1,x",
    };
    let rejected = check_body(unsigned, br#"{"self_test": true}"#, &settings, NOW).unwrap_err();
    assert_eq!(rejected.status, 401, "a self-test is signed");
}

#[test]
fn the_reason_of_a_refusal_is_kept_for_the_log_alone() {
    let settings = configured("60");
    let head = Head {
        method: "POST",
        content_type: Some("application/json"),
        ..Head::default()
    };
    let rejection = check_head(&head, &settings).unwrap_err();
    assert_eq!(rejection.reason, Some(Refusal::Missing("webhook-id")));
    assert_eq!(
        rejection.body(),
        r#"{"code":"not_signed","message":"the request is not signed by this project's database"}"#
    );
}

#[test]
fn health_needs_no_signature() {
    for (method, want) in [
        ("GET", true),
        ("HEAD", true),
        ("POST", false),
        ("OPTIONS", false),
    ] {
        assert_eq!(
            Head {
                method,
                ..Head::default()
            }
            .asks_for_health(),
            want,
            "{method}"
        );
    }
}
