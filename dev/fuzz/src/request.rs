//! Bytes as an inbound request, and what must hold for every one.

use std::sync::LazyLock;

use serde_json::value::RawValue;
use supaqueue_core::config::{Settings, settings};
use supaqueue_core::fetch::{BodyEnd, Response};
use supaqueue_core::inbound::{Accepted, Head, check_body, check_head};
use supaqueue_core::isolate::{Action, Isolate, Moment};
use supaqueue_core::json::Raw;
use supaqueue_core::protocol::Dispatch;
use supaqueue_core::signature::sign;
use supaqueue_core::time::Timestamp;

const NOW: Timestamp = Timestamp::from_ms(1_795_417_959_123);
const SECRETS: &str = "whsec_c3VwYXF1ZXVlLXRlc3Qta2V5LTMyLWJ5dGVzLWxvbmc= whsec_dGhlLWtleS1iZWZvcmUtaXQtaXMtMzItYnl0ZXMtbG9uZyE=";

/// Checks one request. The lines of the input up to an empty one are headers,
/// `name: value`, and the rest is the body. `method: …` is the method. The header
/// `sign: …` asks for a signature with our key, to reach the code behind the check.
/// Returns whether the request comes so far that a target is called.
pub(crate) fn check(input: &[u8]) -> bool {
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
    let mut is_called = false;
    match accepted {
        Ok(None) => assert!(matches!(head.method, "GET" | "HEAD"), "let a stranger in"),
        Ok(Some(accepted)) => {
            assert!(is_signed_by_us, "let a stranger in");
            if let Accepted::Dispatch(dispatch) = accepted {
                is_called = run(dispatch, &String::from_utf8_lossy(body));
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
    is_called
}

/// Whatever the records of a dispatch contain, they can be acknowledged, called and logged. The answer to
/// the acknowledgement has them as the dispatch had them. Returns whether a target is called.
fn run(dispatch: Dispatch, body: &str) -> bool {
    let mut isolate = Isolate::new(SETTINGS.clone(), NOW);
    let moment = Moment {
        now: NOW,
        random: 1,
        is_ending: false,
    };
    let actions = isolate.dispatched(dispatch, None, moment);
    let sent = actions.iter().find_map(|action| match action {
        Action::Send(id, _) => Some(*id),
        _ => None,
    });
    actions.iter().for_each(check_action);
    let Some(pulse) = sent else {
        return false;
    };
    let records = body.trim_start().trim_start_matches('{');
    let answer = format!(r#"{{"accepted":true,"lease_ms":60000,{records}"#);
    let answer = Response {
        status: 200,
        body: answer.replacen("current_jobs", "started", 1).into(),
        ..Response::default()
    };
    let actions = isolate.ended(pulse, Ok(answer), moment);
    actions.iter().for_each(check_action);
    let mut sent = actions.iter().filter_map(|action| match action {
        Action::Send(_, request) => Some(request),
        _ => None,
    });
    sent.any(|request| request.url.contains("/functions/v1/"))
}

fn check_action(action: &Action) {
    let request = match action {
        Action::Send(_, request) => request,
        Action::Log(entry) => {
            let line = entry.line();
            return assert!(is_json(&line), "{line}");
        }
        _ => return,
    };
    let is_line = |text: &str| !text.contains(['\r', '\n', '\0']);
    let mut headers = request.headers.iter();
    assert!(
        headers.all(|(name, value)| is_line(name) && is_line(value)),
        "a header of more than one line: {:?}",
        request.headers
    );
    let url = request.url.strip_prefix("http://x/").unwrap_or_default();
    if let Some(target) = url.strip_prefix("functions/v1/") {
        let path = target.split('?').next().unwrap_or_default();
        let is_inside = |part: &str| !matches!(part, "" | "." | "..");
        assert!(path.split('/').all(is_inside), "a call of {}", request.url);
        assert!(!target.contains(['#', '\\']), "a call of {}", request.url);
    } else {
        let rpc = url.strip_prefix("rest/v1/rpc/");
        assert!(matches!(
            rpc,
            Some("supaqueue_pulse" | "end_current_job" | "end_current_jobs")
        ));
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
