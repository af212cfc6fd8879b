use super::*;
use crate::config::tests::project;

fn show(verdict: Verdict) -> String {
    match verdict {
        Verdict::Returned(result) => {
            let reason = result.reason.unwrap_or("none".into());
            format!("returned {} {reason}", result.accepted)
        }
        Verdict::Unreachable { reason, after_ms } => {
            let after_ms = after_ms.map_or("none".into(), |ms| ms.to_string());
            format!("retry {after_ms}: {reason}")
        }
        Verdict::Refused(reason) => format!("refused: {reason}"),
    }
}

#[test]
fn the_call_carries_the_project_key() {
    let pulse_request = PulseRequest::default();
    let run = RunId::from_random(0);
    let secret = [("SUPABASE_SECRET_KEYS", r#"{"default":"sb_secret_1"}"#)];
    let jwt = ["apikey: service.jwt", "authorization: Bearer service.jwt"];
    for (changes, keys) in [
        (&[][..], &jwt[..]),
        (&secret[..], &["apikey: sb_secret_1"][..]),
    ] {
        let request = pulse(&project(changes), run, &pulse_request);
        let url = "https://ref.supabase.co/rest/v1/rpc/supaqueue_pulse";
        assert_eq!(request.url, url);
        let line = |(name, value): &_| format!("{name}: {value}");
        let headers: Vec<_> = request.headers.iter().map(line).collect();
        let ours = ["content-type: application/json", "content-profile: public"];
        assert_eq!(headers, [&ours, keys].concat());
        assert_eq!(*request.body, pulse_request.json(run));
    }
}

#[test]
fn each_answer_of_postgrest_has_a_meaning() {
    let missing =
        r#"{"code":"PGRST202","message":"Could not find the function","details":"x","hint":null}"#;
    let timeout = r#"{"code":"57014","message":"canceling statement due to statement timeout","details":null,"hint":null}"#;
    let json = r#"{"code":"22P05","message":"unsupported Unicode escape sequence","details":"secret","hint":null}"#;
    let settled = r#"{"accepted":true,"state":"settled","next":null}"#;
    let deep = r#"{"code":"54001","message":"stack depth limit exceeded"}"#;
    let denied = r#"{"code":"42501","message":"permission denied for function end_current_job"}"#;
    let refused = r#"{"accepted":false,"state":"refused","reason":"gone","next":null}"#;
    let not_understood = |why| format!("retry none: the answer was not understood: {why}");
    let not_a_result = &not_understood("expected an object at byte 0");
    #[rustfmt::skip] // one case per line
    let cases = [
        (200, None, settled, "returned true none"),
        (200, None, refused, "returned false gone"),
        (200, None, "<html>", not_a_result),
        (204, None, "", &not_understood("expected more at byte 0")),
        (404, None, "", "retry none: status 404"),
        (500, None, timeout, "retry none: status 500 57014 canceling statement due to statement timeout"),
        (500, None, deep, "refused: status 500 54001 stack depth limit exceeded"),
        (503, Some("2"), "", "retry 2000: status 503"),
        (429, Some("x"), "{}", "retry none: status 429"),
        (408, None, "", "retry none: status 408"),
        (409, None, r#"{"code":"23505"}"#, "retry none: status 409 23505"),
        (400, None, json, "refused: status 400 22P05 unsupported Unicode escape sequence"),
        (400, None, r#"{"code":"PGRST102"}"#, "retry none: status 400 PGRST102"),
        (401, None, r#"{"message":"Invalid API key"}"#, "retry none: status 401  Invalid API key"),
        (403, None, denied, "retry none: status 403 42501 permission denied for function end_current_job"),
        (413, None, "", "refused: status 413"),
        (302, None, "", "retry none: status 302"),
    ];
    for (status, retry_after, body, want) in cases {
        let response = Response {
            status,
            retry_after: retry_after.map(str::to_owned),
            body: body.into(),
            ..Response::default()
        };
        let got = show(verdict(Ok(response), Timestamp::from_ms(0)));
        assert_eq!(got, want, "{status} {body}");
    }
    let response = Response {
        status: 404,
        body: missing.into(),
        ..Response::default()
    };
    let got = show(verdict(Ok(response), Timestamp::from_ms(0)));
    assert!(got.contains("supaqueue install"), "{got}");
}

#[test]
fn a_call_without_a_whole_answer_is_retried() {
    let ended = |body_end| {
        Ok(Response {
            status: 400,
            body_end,
            ..Response::default()
        })
    };
    let reset = BodyEnd::Failed("reset".into());
    let retry_after_ms = 1500;
    let limited = Failure::RateLimited { retry_after_ms };
    #[rustfmt::skip] // one case per line
    let cases = [
        (ended(BodyEnd::Truncated), "retry none: the answer is too long"),
        (ended(BodyEnd::Aborted), "retry none: the answer was cut off"),
        (ended(reset), "retry none: reset"),
        (Err(Failure::Aborted), "retry none: no answer in time"),
        (Err(Failure::Network("dns".into())), "retry none: dns"),
        (Err(limited), "retry 1500: rate limit of the runtime"),
    ];
    for (end, want) in cases {
        assert_eq!(show(verdict(end, Timestamp::from_ms(0))), want);
    }
}

#[test]
fn reports_that_went_together_have_results_only_in_a_whole_answer() {
    let two = r#"[{"accepted":true},null]"#;
    #[rustfmt::skip] // one case per line
    let cases = [
        (200, BodyEnd::Complete, two, vec![true, false]),
        (299, BodyEnd::Complete, two, vec![true, false]),
        (199, BodyEnd::Complete, two, vec![]),
        (300, BodyEnd::Complete, two, vec![]),
        (500, BodyEnd::Complete, two, vec![]),
        (200, BodyEnd::Truncated, two, vec![]),
        (200, BodyEnd::Aborted, two, vec![]),
        (200, BodyEnd::Complete, r#"{"accepted":true}"#, vec![]),
    ];
    for (status, body_end, body, want) in cases {
        let name = format!("{status} {body_end:?} {body}");
        let response = Response {
            status,
            body: body.into(),
            body_end,
            ..Response::default()
        };
        let got: Vec<_> = results(Ok(response)).iter().map(Option::is_some).collect();
        assert_eq!(got, want, "{name}");
    }
    assert_eq!(results(Err(Failure::Aborted)), []);
}
