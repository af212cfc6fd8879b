//! Bytes as an inbound request, and what must hold for every one.

use std::rc::Rc;
use std::sync::LazyLock;

use serde_json::value::RawValue;
use supaqueue_core::config::{Settings, settings};
use supaqueue_core::fetch::{BodyEnd, Response};
use supaqueue_core::inbound::{Accepted, Head, check_body, check_head};
use supaqueue_core::json::Raw;
use supaqueue_core::lane::{Action, Event, Lane};
use supaqueue_core::protocol::{Assignment, LaneId};
use supaqueue_core::run::Run;
use supaqueue_core::signature::sign;
use supaqueue_core::time::Timestamp;

const NOW: Timestamp = Timestamp::from_ms(1_795_417_959_123);
const SECRETS: &str = "whsec_c3VwYXF1ZXVlLXRlc3Qta2V5LTMyLWJ5dGVzLWxvbmc= whsec_dGhlLWtleS1iZWZvcmUtaXQtaXMtMzItYnl0ZXMtbG9uZyE=";

/// Checks one request. The lines of the input up to an empty one are headers,
/// `name: value`, and the rest is the body. `method: …` is the method. The header
/// `sign: …` asks for a signature with our key, to reach the code behind the check.
pub(crate) fn check(input: &[u8]) {
    let (head, body) = split(input);
    let head = String::from_utf8_lossy(head);
    let header = |name: &str| {
        head.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let settings = &*SETTINGS;
    let is_signed_by_us = header("sign").is_some();
    let id = header("webhook-id").unwrap_or("a");
    let signature = sign(&settings.keys, id, NOW, body);
    let seconds = NOW.seconds().to_string();
    let ours = |name: &str, value| {
        if is_signed_by_us {
            Some(value)
        } else {
            header(name)
        }
    };
    let head = Head {
        method: header("method").unwrap_or("POST"),
        content_type: header("content-type").or(Some("application/json")),
        content_length: header("content-length"),
        id: ours("webhook-id", id),
        timestamp: ours("webhook-timestamp", &seconds),
        signature: ours("webhook-signature", &signature),
    };

    let accepted = check_head(&head, settings).and_then(|signed| match signed {
        Some(signed) => check_body(signed, body, &BodyEnd::Complete, settings, NOW).map(Some),
        None => Ok(None),
    });
    match accepted {
        Ok(None) => assert!(matches!(head.method, "GET" | "HEAD"), "let a stranger in"),
        Ok(Some(accepted)) => {
            assert!(is_signed_by_us, "let a stranger in");
            if let Accepted::Dispatch(dispatch) = accepted {
                dispatch.current_jobs.into_iter().for_each(start);
            }
        }
        Err(rejection) => {
            assert!(
                matches!(rejection.status, 400 | 401 | 405 | 413 | 415),
                "status {}",
                rejection.status
            );
            for text in [rejection.reply().body, rejection.entry().line()] {
                assert!(is_json(&text), "{text}");
            }
        }
    }
    if let Ok(text) = str::from_utf8(body) {
        let theirs = serde_json::from_str::<&RawValue>(text).map(RawValue::get);
        assert_eq!(
            Raw::parse(text).as_ref().map(Raw::get),
            theirs.ok(),
            "serde_json reads {text:?} differently"
        );
    }
}

/// Whatever an assignment contains, it can be acknowledged, called and logged.
fn start(assignment: Assignment) {
    let prefix = format!("{}/functions/v1/", SETTINGS.url);
    let mut run = Run::new(SETTINGS.clone(), None, [1; 16], NOW, 1, Rc::default());
    let mut lane = Lane::new(LaneId::from_random([1; 16]), assignment);
    let accepted = Response {
        status: 200,
        body: br#"{"accepted":true,"next":null}"#.to_vec(),
        ..Response::default()
    };
    for event in [Event::Start, Event::Fetched(Ok(accepted))] {
        let Action::Fetch(request) = lane.next(event, &mut run, NOW, 0) else {
            panic!("the lane sends nothing");
        };
        let is_line = |text: &str| !text.contains(['\r', '\n', '\0']);
        let mut headers = request.headers.iter();
        assert!(
            headers.all(|(name, value)| is_line(name) && is_line(value)),
            "a header of more than one line: {:?}",
            request.headers
        );
        if let Some(name) = request.url.strip_prefix(&prefix) {
            let is_path = name.contains(['/', '.', '?', '#', '%', '\\']);
            assert!(!is_path, "a call of {}", request.url);
        } else {
            assert_eq!(request.url, "http://x/rest/v1/rpc/end_current_job");
        }
    }
    for line in run.take_log().iter().map(|entry| entry.line()) {
        assert!(is_json(&line), "{line}");
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok()
}

fn split(input: &[u8]) -> (&[u8], &[u8]) {
    match input.windows(2).position(|two| two == b"\n\n") {
        Some(at) => (&input[..at], &input[at + 2..]),
        None => (input, b""),
    }
}

static SETTINGS: LazyLock<Settings> = LazyLock::new(|| {
    let value = |name: &str| match name {
        "SUPAQUEUE_SECRET" => Some(SECRETS),
        "SUPABASE_URL" => Some("http://x"),
        "SUPABASE_SERVICE_ROLE_KEY" => Some("service.jwt"),
        "SUPAQUEUE_REQUEST_LIMIT_BYTES" => Some("4000"),
        _ => None,
    };
    match settings(&|name| value(name).map(str::to_owned)) {
        Ok(settings) => settings,
        Err(error) => panic!("{error}"),
    }
});
