use super::*;
use crate::config::tests::{project, read};
use crate::signature::sign;

const NOW: Timestamp = Timestamp::from_ms(1_795_417_959_123);
const SECONDS: &str = "1795417959";

fn configured() -> Settings {
    project(&[("SUPAQUEUE_REQUEST_LIMIT_BYTES", "60")])
}

/// The head of a dispatch with this signature, sent now.
fn signed<'a>(id: &'a str, signature: &'a str) -> Head<'a> {
    Head {
        method: "POST",
        content_type: Some("application/json"),
        content_length: None,
        id: Some(id),
        timestamp: Some(SECONDS),
        signature: Some(signature),
    }
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
    let body = br#"{"protocol":2,"current_jobs":[]}"#;
    let signature = sign(&configured().keys, "a", NOW, body);
    let good = Head {
        content_length: Some("19"),
        ..signed("a", &signature)
    };
    let rejection = |status, code, message: &str| Err((status, code, message.to_owned()));
    let method = || {
        let message = "use POST, or GET for the function's health";
        rejection(405, "method_not_allowed", message)
    };
    let large = || rejection(413, "too_large", "the body is larger than 60 bytes");
    let media = || {
        let message = "content-type is not application/json";
        rejection(415, "unsupported_media_type", message)
    };
    let unsigned = || {
        let message = "the request is not signed by this project's database";
        rejection(401, "not_signed", message)
    };
    let charset = Some("Application/JSON; charset=utf-8");

    assert_eq!(send(good, body), Ok(0));
    #[rustfmt::skip] // one case per line
    let cases = [
        ("PUT", Head { method: "PUT", ..good }, method()),
        ("no method", Head { method: "", ..good }, method()),
        ("a length at the limit", Head { content_length: Some("60"), ..good }, Ok(0)),
        ("a length above the limit", Head { content_length: Some("61"), ..good }, large()),
        ("a malformed length", Head { content_length: Some("x"), ..good }, Ok(0)),
        ("no length", Head { content_length: None, ..good }, Ok(0)),
        ("a charset", Head { content_type: charset, ..good }, Ok(0)),
        ("text", Head { content_type: Some("text/plain"), ..good }, media()),
        ("no type", Head { content_type: None, ..good }, media()),
        ("no id", Head { id: None, ..good }, unsigned()),
        ("no timestamp", Head { timestamp: None, ..good }, unsigned()),
        ("no signature", Head { signature: None, ..good }, unsigned()),
        ("another id", Head { id: Some("b"), ..good }, unsigned()),
    ];
    for (name, head, want) in cases {
        assert_eq!(send(head, body), want, "{name}");
    }
    let changed = br#"{"protocol":2,"current_jobs":[ ]}"#;
    assert_eq!(send(good, changed), unsigned(), "a changed body");
}

#[test]
fn a_rejection_says_where_the_body_is_no_dispatch() {
    #[rustfmt::skip] // one case per line
    let cases: [(&[u8], u16, &str); 5] = [
        (&[b' '; 60], 400, "the body is not a dispatch: expected more at byte 60"),
        (b"", 400, "the body is not a dispatch: expected more at byte 0"),
        (b"{\"protocol\":2,\"current_jobs\":1}", 400, "the body is not a dispatch: expected a list at byte 29"),
        (b"{\"protocol\":2,\"current_jobs\":[\xFF]}", 400, "the body is not UTF-8 from byte 30"),
        (&[b' '; 61], 413, "the body is larger than 60 bytes"),
    ];
    for (body, status, message) in cases {
        let signature = sign(&configured().keys, "a", NOW, body);
        let (got_status, _, got) = send(signed("a", &signature), body).unwrap_err();
        assert_eq!((got_status, got.as_str()), (status, message));
    }
}

/// Has an isolate send a pulse, which the database refuses.
fn refuse_pulse(isolate: &mut Isolate) {
    use crate::fetch::Response;
    use crate::isolate::{Action, Moment};
    let moment = Moment {
        now: NOW,
        random: 1,
        is_ending: false,
    };
    let body = r#"{"protocol":2,"current_jobs":[{"current_job":{"id":"00000000-0000-4000-8000-000000000001"}}]}"#;
    let dispatch = crate::protocol::parse_dispatch(body).unwrap();
    let actions = isolate.dispatched(dispatch, None, moment);
    let sent = actions.into_iter().find_map(|action| match action {
        Action::Send(id, _) => Some(id),
        _ => None,
    });
    let refused = Response {
        status: 403,
        ..Response::default()
    };
    isolate.ended(sent.unwrap(), Ok(refused), moment);
}

#[test]
fn the_reply_to_a_dispatch_says_what_is_known_of_jobs_that_do_not_run() {
    let mut isolate = Isolate::new(configured(), NOW);
    let reply = |isolate: &Isolate, body: &str| {
        let dispatch = crate::protocol::parse_dispatch(body).unwrap();
        Reply::accepted(&dispatch, isolate).body
    };
    assert_eq!(
        reply(&isolate, r#"{"protocol":2,"current_jobs":[]}"#),
        r#"{"accepted":0}"#
    );
    refuse_pulse(&mut isolate);
    assert_eq!(
        reply(&isolate, r#"{"protocol":2,"current_jobs":[{}]}"#),
        r#"{"accepted":0,"malformed":"missing field `current_job` at byte 2","last_refusal":"status 403"}"#
    );
}

#[test]
fn the_only_call_of_a_target_that_is_accepted_is_a_self_test() {
    let cases: [(&str, &[u8], bool); 4] = [
        ("call_1", br#"{"self_test": true}"#, true),
        ("call_1", br#"{"protocol":2,"current_jobs":[]}"#, false),
        ("call_", b"", false),
        ("a", br#"{"self_test": true}"#, false),
    ];
    let settings = configured();
    let check = |id: &str, signature: &str, body: &[u8]| {
        let headers = SignedHeaders {
            id,
            timestamp: SECONDS,
            signature,
        };
        check_body(headers, body, &BodyEnd::Complete, &settings, NOW)
    };
    for (id, body, want) in cases {
        let accepted = check(id, &sign(&settings.keys, id, NOW, body), body);
        let is_health = matches!(accepted, Ok(Accepted::Health));
        assert_eq!(is_health, want, "{id} {body:?}");
        if id != "a" && !want {
            let reason = accepted.unwrap_err().reason;
            let want = Some(SignatureError::NotADispatch);
            assert_eq!(reason, want, "{id} {body:?}");
        }
    }
    let rejection = check("call_1", "v1,x", br#"{"self_test": true}"#).unwrap_err();
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
        (BodyEnd::Aborted, 400, "the body ended early"),
        (BodyEnd::Failed("reset".into()), 400, "the body ended early"),
    ];
    for (end, status, message) in ends {
        let rejection = check_body(headers, b"", &end, &configured(), NOW).unwrap_err();
        assert_eq!((rejection.status, &*rejection.message), (status, message));
    }
}

#[test]
fn health_needs_no_signature() {
    for method in ["GET", "HEAD"] {
        let head = Head {
            method,
            ..Head::default()
        };
        let signed = check_head(&head, &configured());
        assert!(matches!(signed, Ok(None)), "{method}");
    }
}

#[test]
fn a_misconfigured_function_says_so_at_every_level() {
    let error = read(&[("SUPAQUEUE_SECRET", "")]).err().unwrap();
    let rejection = Rejection::misconfigured(&error);
    let message = r#""message":"Cannot start: SUPAQUEUE_SECRET is not set"}"#;
    let reply = Reply {
        status: 500,
        body: format!(r#"{{"code":"misconfigured",{message}"#),
    };
    let line = format!(r#"{{"level":"error","event":"misconfigured",{message}"#);
    assert_eq!(rejection.reply(), reply);
    assert_eq!(rejection.entry().line(), line);
}
