//! Bytes as a request, and what must hold of every request that comes to the door.

use std::sync::LazyLock;

use serde_json::value::RawValue;
use supaqueue_core::budget::Budget;
use supaqueue_core::config::{Settings, settings};
use supaqueue_core::door::{Admitted, Head, check_body, check_head};
use supaqueue_core::json::Raw;
use supaqueue_core::lane::{Action, Event, Lane, Moment, Run};
use supaqueue_core::protocol::{Assignment, LaneId};
use supaqueue_core::request::target;
use supaqueue_core::signature::sign;
use supaqueue_core::time::Timestamp;
use supaqueue_core::trace::Trace;

const NOW: Timestamp = Timestamp::from_ms(1_795_417_959_123);
const SECRETS: &str = "whsec_c3VwYXF1ZXVlLXRlc3Qta2V5LTMyLWJ5dGVzLWxvbmc= whsec_dGhlLWtleS1iZWZvcmUtaXQtaXMtMzItYnl0ZXMtbG9uZyE=";

/// One request: the lines of the input up to an empty one are headers,
/// `name: value`, the rest is the body. `method: …` is the method. The header
/// `sign: …` asks for a signature by our key, so that what comes behind the
/// signature is reached too.
pub(crate) fn come(input: &[u8]) {
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

    let admitted =
        check_head(&head, settings).and_then(|signed| check_body(signed, body, settings, NOW));
    match admitted {
        Ok(Admitted::Dispatch(dispatch)) => {
            assert!(is_signed_by_us, "let a stranger in");
            dispatch
                .current_jobs
                .into_iter()
                .for_each(|assignment| begin(assignment, settings));
        }
        Ok(Admitted::SelfTest) => assert!(is_signed_by_us, "let a stranger in"),
        Err(rejection) => {
            assert!(
                matches!(rejection.status, 400 | 401 | 405 | 413 | 415),
                "status {}",
                rejection.status
            );
            assert_eq!(
                rejection.status == 401,
                rejection.reason.is_some(),
                "a reason is for the log"
            );
            assert!(
                serde_json::from_str::<&RawValue>(&rejection.body()).is_ok(),
                "{}",
                rejection.body()
            );
        }
    }
    if let Ok(text) = str::from_utf8(body) {
        let theirs = serde_json::from_str::<&RawValue>(text)
            .map(RawValue::get)
            .ok();
        assert_eq!(
            Raw::parse(text).as_ref().map(Raw::get),
            theirs,
            "serde_json reads {text:?} differently"
        );
    }
}

/// What came in can be acknowledged, called and logged, whatever is in it.
fn begin(assignment: Assignment, settings: &Settings) {
    if let Ok(request) = target(&assignment, settings, Trace::new(None, [1; 16]), 1, NOW) {
        let is_line = |text: &str| !text.contains(['\r', '\n', '\0']);
        let are_lines = request
            .headers
            .iter()
            .all(|(name, value)| is_line(name) && is_line(value));
        assert!(
            are_lines,
            "a header of more than one line: {:?}",
            request.headers
        );
        let prefix = format!("{}/functions/v1/", settings.url);
        let name = request.url.strip_prefix(&prefix).unwrap_or("/");
        assert!(
            !name.contains(['/', '.', '?', '#', '%', '\\']),
            "a call of {}",
            request.url
        );
    }
    let mut run = Run {
        budget: Budget::new(NOW, 140_000, 10, 1),
        is_missing_logged: false,
    };
    let mut lane = Lane::new(LaneId::from_random([1; 16]), assignment);
    let action = lane.next(
        Event::Begin,
        Moment {
            now: NOW,
            random: 0,
            run: &mut run,
        },
    );
    assert_eq!(action, Action::Tell);
    for line in lane.take_log().iter().map(|entry| entry.line()) {
        assert!(serde_json::from_str::<&RawValue>(&line).is_ok(), "{line}");
    }
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
