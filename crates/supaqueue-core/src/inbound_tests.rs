use super::*;
use crate::config::tests::read;
use crate::signature::sign;

const NOW: Timestamp = Timestamp::from_ms(1_795_417_959_123);

fn configured() -> Settings {
    read(&[("SUPAQUEUE_REQUEST_LIMIT_BYTES", "60")])
        .ok()
        .unwrap()
}

/// Checks a request as the function does: the number of its jobs, or the rejection.
fn send(head: Head<'_>, body: &[u8]) -> Result<usize, (u16, &'static str, String)> {
    let settings = configured();
    let accepted = check_head(&head, &settings).and_then(|signed| match signed {
        Some(signed) => check_body(signed, body, &BodyEnd::Complete, &settings, NOW),
        None => Ok(Accepted::Health),
    });
    match accepted {
        Ok(Accepted::Dispatch(dispatch)) => Ok(dispatch.current_jobs.len()),
        Ok(Accepted::Health) => panic!("not a dispatch"),
        Err(rejection) => Err((rejection.status, rejection.code, rejection.message)),
    }
}

#[test]
fn each_kind_of_request_gets_its_reply() {
    let body = br#"{"current_jobs":[]}"#;
    let signature = sign(&configured().keys, "a", NOW, body);
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

    assert_eq!(send(good, body), Ok(0));
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
            "a length above the limit",
            Head {
                content_length: Some("61"),
                ..good
            },
            Err(large),
        ),
        (
            "a malformed length",
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
        assert_eq!(send(head, body), want, "{name}");
    }
    assert_eq!(
        send(good, br#"{"current_jobs":[ ]}"#),
        Err(unsigned),
        "a changed body"
    );
}

#[test]
fn a_rejection_says_where_the_body_is_no_dispatch() {
    let cases: [(&[u8], u16, &str); 6] = [
        (
            &[b' '; 60],
            400,
            "the body is not a dispatch: expected more at byte 60",
        ),
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
        let signature = sign(&configured().keys, "a", NOW, body);
        let head = Head {
            method: "POST",
            content_type: Some("application/json"),
            content_length: None,
            id: Some("a"),
            timestamp: Some(&seconds),
            signature: Some(&signature),
        };
        let (got_status, _, got) = send(head, body).unwrap_err();
        assert_eq!((got_status, got.as_str()), (status, message));
    }
}

#[test]
fn the_only_call_of_a_target_that_is_accepted_is_a_self_test() {
    let cases: [(&str, &[u8], bool); 4] = [
        ("call_1", br#"{"self_test": true}"#, true),
        ("call_1", br#"{"current_jobs":[]}"#, false),
        ("call_", b"", false),
        ("a", br#"{"self_test": true}"#, false),
    ];
    let settings = configured();
    let seconds = NOW.seconds().to_string();
    for (id, body, want) in cases {
        let signature = sign(&settings.keys, id, NOW, body);
        let headers = SignedHeaders {
            id,
            timestamp: &seconds,
            signature: &signature,
        };
        let accepted = check_body(headers, body, &BodyEnd::Complete, &settings, NOW);
        assert_eq!(
            matches!(accepted, Ok(Accepted::Health)),
            want,
            "{id} {body:?}"
        );
        if id != "a" && !want {
            assert_eq!(
                accepted.unwrap_err().reason,
                Some(SignatureError::NotADispatch),
                "{id} {body:?}"
            );
        }
    }
    let unsigned = SignedHeaders {
        id: "call_1",
        timestamp: &seconds,
        signature: "v1,x",
    };
    let body = br#"{"self_test": true}"#;
    let rejection = check_body(unsigned, body, &BodyEnd::Complete, &settings, NOW).unwrap_err();
    assert_eq!(rejection.status, 401, "a self-test is signed");
}

#[test]
fn why_a_signature_was_rejected_is_only_logged() {
    let settings = configured();
    let head = Head {
        method: "POST",
        content_type: Some("application/json"),
        ..Head::default()
    };
    let rejection = check_head(&head, &settings).unwrap_err();
    assert_eq!(
        rejection.entry().line(),
        r#"{"level":"warn","event":"dispatch_rejected","status":401,"message":"header webhook-id is missing"}"#
    );
    assert_eq!(
        rejection.reply().body,
        r#"{"code":"not_signed","message":"the request is not signed by this project's database"}"#
    );
}

#[test]
fn a_body_that_was_not_read_to_its_end_is_rejected() {
    let headers = SignedHeaders {
        id: "a",
        timestamp: "1",
        signature: "v1,x",
    };
    let ends = [
        (BodyEnd::Truncated, 413, "the body is larger than 60 bytes"),
        (BodyEnd::TimedOut, 400, "the body ended early"),
        (BodyEnd::Failed("reset".into()), 400, "the body ended early"),
    ];
    for (end, status, message) in ends {
        let rejection = check_body(headers, b"", &end, &configured(), NOW).unwrap_err();
        assert_eq!(
            (rejection.status, rejection.message.as_str()),
            (status, message)
        );
    }
}

#[test]
fn health_needs_no_signature() {
    for method in ["GET", "HEAD"] {
        let head = Head {
            method,
            ..Head::default()
        };
        assert!(
            matches!(check_head(&head, &configured()), Ok(None)),
            "{method}"
        );
    }
}

#[test]
fn a_misconfigured_function_says_so_at_every_level() {
    let error = read(&[("SUPAQUEUE_SECRET", "")]).err().unwrap();
    let rejection = Rejection::misconfigured(&error);
    let message = r#""message":"Cannot start: SUPAQUEUE_SECRET is not set"}"#;
    assert_eq!(
        rejection.reply(),
        Reply {
            status: 500,
            body: format!(r#"{{"code":"misconfigured",{message}"#),
        }
    );
    assert_eq!(
        rejection.entry().line(),
        format!(r#"{{"level":"error","event":"misconfigured",{message}"#)
    );
}
