use super::*;
use crate::config::tests::project;
use crate::protocol::Report;

fn show(verdict: Verdict) -> String {
    match verdict {
        Verdict::Returned(result) => {
            let reason = result.reason.unwrap_or("none".into());
            format!("returned {} {reason}", result.accepted)
        }
        Verdict::Retry { reason, after_ms } => {
            let after_ms = after_ms.map_or("none".into(), |ms| ms.to_string());
            format!("retry {after_ms}: {reason}")
        }
        Verdict::Missing => "missing".into(),
        Verdict::Rejected(reason) => format!("rejected: {reason}"),
    }
}

#[test]
fn the_call_carries_the_project_key() {
    let arguments = EndCurrentJob {
        cur_job_id: json::from_str(r#""0af76519-16cd-43dd-8448-eb211c80319c""#).unwrap(),
        is_complete: false,
        is_successful: false,
        report: Report::default(),
        next_within_ms: None,
    };
    let secret = [("SUPABASE_SECRET_KEYS", r#"{"default":"sb_secret_1"}"#)];
    let jwt = ["apikey: service.jwt", "authorization: Bearer service.jwt"];
    for (changes, keys) in [
        (&[][..], &jwt[..]),
        (&secret[..], &["apikey: sb_secret_1"][..]),
    ] {
        let request = request(&project(changes), &arguments);
        let url = "https://ref.supabase.co/rest/v1/rpc/end_current_job";
        assert_eq!(request.url, url);
        let line = |(name, value): &_| format!("{name}: {value}");
        let headers: Vec<_> = request.headers.iter().map(line).collect();
        let want = [&["content-type: application/json"], keys].concat();
        assert_eq!(headers, want);
        assert_eq!(*request.body, arguments.json());
    }
}

#[test]
fn each_answer_of_postgrest_has_a_meaning() {
    let missing =
        r#"{"code":"PGRST202","message":"Could not find the function","details":"x","hint":null}"#;
    let timeout = r#"{"code":"57014","message":"canceling statement due to statement timeout","details":null,"hint":null}"#;
    let json = r#"{"code":"22P05","message":"unsupported Unicode escape sequence","details":"secret","hint":null}"#;
    let settled = r#"{"accepted":true,"state":"settled","next":null}"#;
    let refused = r#"{"accepted":false,"state":"refused","reason":"gone","next":null}"#;
    let not_understood = |why| format!("retry none: the answer was not understood: {why}");
    let not_a_result = &not_understood("expected struct EndCurrentJobResult at byte 0");
    #[rustfmt::skip] // one case per line
    let cases = [
        (200, None, settled, "returned true none"),
        (200, None, refused, "returned false gone"),
        (200, None, "<html>", not_a_result),
        (204, None, "", &not_understood("expected more at byte 0")),
        (404, None, missing, "missing"),
        (404, None, "", "rejected: status 404"),
        (500, None, timeout, "retry none: status 500 57014 canceling statement due to statement timeout"),
        (503, Some("2"), "", "retry 2000: status 503"),
        (429, Some("x"), "{}", "retry none: status 429"),
        (408, None, "", "retry none: status 408"),
        (409, None, r#"{"code":"23505"}"#, "retry none: status 409 23505"),
        (400, None, json, "rejected: status 400 22P05 unsupported Unicode escape sequence"),
        (401, None, r#"{"message":"Invalid API key"}"#, "rejected: status 401  Invalid API key"),
        (302, None, "", "rejected: status 302"),
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
        (ended(BodyEnd::TimedOut), "retry none: cut off after 12000 ms"),
        (ended(reset), "retry none: reset"),
        (Err(Failure::TimedOut), "retry none: no answer within 12000 ms"),
        (Err(Failure::Network("dns".into())), "retry none: dns"),
        (Err(limited), "retry 1500: rate limit of the runtime"),
    ];
    for (end, want) in cases {
        assert_eq!(show(verdict(end, Timestamp::from_ms(0))), want);
    }
}
