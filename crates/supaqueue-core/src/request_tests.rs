use super::*;
use crate::config::settings;
use crate::door::check_body;
use crate::protocol::{LaneId, Report};
use crate::signature::{Refusal, SignedHeaders};

const SECRET: &str = "whsec_c3VwYXF1ZXVlLXRlc3Qta2V5LTMyLWJ5dGVzLWxvbmc=";
const NOW: Timestamp = Timestamp::from_ms(1_795_417_959_123);
const JOB: &str = "0af76519-16cd-43dd-8448-eb211c80319c";

fn configured(keys: &[(&str, &str)]) -> Settings {
    let base = [
        ("SUPAQUEUE_SECRET", SECRET),
        ("SUPABASE_URL", "http://x/"),
        ("SUPABASE_SERVICE_ROLE_KEY", "service.jwt"),
    ];
    settings(&|name| {
        let all = keys.iter().chain(&base);
        all.into_iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).to_owned())
    })
    .ok()
    .unwrap()
}

struct Given<'a> {
    function: &'a str,
    auth: &'a str,
    of_queue: &'a str,
    of_job: &'a str,
}

const PLAIN: Given<'_> = Given {
    function: "f",
    auth: "service_role",
    of_queue: "null",
    of_job: "null",
};

fn assignment(given: &Given<'_>) -> Assignment {
    let Given {
        function,
        auth,
        of_queue,
        of_job,
    } = given;
    json::from_str(&format!(
        r#"{{"current_job":{{"id":"{JOB}"}},
        "job":{{"id":"{JOB}","payload":{{"a": 1.10}},"attempts":3,"headers":{of_job},"timeout_ms":1000}},
        "queue":{{"name":"Straße 100%","edge_function_name":"{function}","default_headers":{of_queue},"timeout_ms":60000,"auth":"{auth}"}}}}"#
    ))
    .unwrap()
}

fn call(given: &Given<'_>, keys: &[(&str, &str)]) -> Result<Request, String> {
    let trace = Trace::new(
        Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        [0; 16],
    );
    target(&assignment(given), &configured(keys), trace, 7, NOW)
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let found: Vec<_> = request
        .headers
        .iter()
        .filter(|(known, _)| known == name)
        .collect();
    assert!(found.len() < 2, "{name} is sent twice");
    found.first().map(|(_, value)| value.as_str())
}

#[test]
fn a_call_carries_our_headers() {
    let request = call(&PLAIN, &[]).unwrap();
    assert_eq!(request.url, "http://x/functions/v1/f");
    let want = [
        ("authorization", "Bearer service.jwt"),
        ("content-type", "application/json"),
        ("idempotency-key", JOB),
        ("supaqueue-queue", "Stra%C3%9Fe 100%25"),
        ("supaqueue-job-id", JOB),
        ("supaqueue-attempt", "3"),
        ("supaqueue-deadline", "2026-11-23T07:12:40.123Z"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000007-01",
        ),
        ("webhook-id", "call_0af76519-16cd-43dd-8448-eb211c80319c"),
        ("webhook-timestamp", "1795417959"),
    ];
    for (name, value) in want {
        assert_eq!(header(&request, name), Some(value), "{name}");
    }
    assert_eq!(request.headers.len(), want.len() + 1, "and the signature");
}

#[test]
fn a_call_cannot_be_sent_to_us_as_a_dispatch() {
    let request = call(&PLAIN, &[]).unwrap();
    let [id, timestamp, signature] = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .map(|name| header(&request, name).unwrap());
    let headers = SignedHeaders {
        id,
        timestamp,
        signature,
    };
    let refused = check_body(headers, br#"{"a": 1.10}"#, &configured(&[]), NOW).unwrap_err();
    assert_eq!(
        (refused.status, refused.reason),
        (401, Some(Refusal::NotADispatch))
    );
}

#[test]
fn headers_of_a_job_go_over_those_of_its_queue_and_ours_over_both() {
    let given = Given {
        of_queue: r#"{"X-A":"queue","x-b":"queue","Content-Type":"text/plain","Authorization":"Bearer mine","host":"evil","webhook-extra":"1"}"#,
        of_job: r#"{"x-a":"job","SUPAQUEUE-ATTEMPT":"9","supaqueue-new":"1","apikey":"mine","Content-Length":"1","traceparent":"x"}"#,
        ..PLAIN
    };
    let request = call(&given, &[]).unwrap();
    let want = [
        ("x-a", Some("job")),
        ("x-b", Some("queue")),
        ("content-type", Some("application/json")),
        ("authorization", Some("Bearer service.jwt")),
        ("apikey", None),
        ("host", None),
        ("content-length", None),
        ("webhook-extra", None),
        ("supaqueue-new", None),
        ("supaqueue-attempt", Some("3")),
        (
            "traceparent",
            Some("00-0af7651916cd43dd8448eb211c80319c-0000000000000007-01"),
        ),
    ];
    for (name, value) in want {
        assert_eq!(header(&request, name), value, "{name}");
    }
}

#[test]
fn each_kind_of_key_goes_where_it_is_taken() {
    let secret = ("SUPABASE_SECRET_KEYS", r#"{"default":"sb_secret_1"}"#);
    let no_jwt = ("SUPABASE_SERVICE_ROLE_KEY", "");
    let anon = ("SUPABASE_ANON_KEY", "anon.jwt");
    let publishable = (
        "SUPABASE_PUBLISHABLE_KEYS",
        r#"{"default":"sb_publishable_1"}"#,
    );
    type Variables<'a> = &'a [(&'a str, &'a str)];
    let cases: [(&str, Variables<'_>, Option<&str>, Option<&str>); 6] = [
        ("service_role", &[], Some("Bearer service.jwt"), None),
        ("service_role", &[secret, no_jwt], None, Some("sb_secret_1")),
        (
            "service_role",
            &[secret],
            Some("Bearer service.jwt"),
            Some("sb_secret_1"),
        ),
        ("anon", &[anon], Some("Bearer anon.jwt"), None),
        ("anon", &[publishable], None, Some("sb_publishable_1")),
        ("none", &[anon, secret], None, None),
    ];
    for (auth, keys, authorization, apikey) in cases {
        let request = call(&Given { auth, ..PLAIN }, keys).unwrap();
        assert_eq!(
            header(&request, "authorization"),
            authorization,
            "{auth} {keys:?}"
        );
        assert_eq!(header(&request, "apikey"), apikey, "{auth} {keys:?}");
    }
    let own = Given {
        auth: "none",
        of_queue: r#"{"authorization":"Basic eA==","apikey":"k"}"#,
        ..PLAIN
    };
    let request = call(&own, &[]).unwrap();
    assert_eq!(
        header(&request, "authorization"),
        Some("Basic eA=="),
        "a queue without a key may have its own"
    );
    assert_eq!(header(&request, "apikey"), Some("k"));
}

#[test]
fn a_call_that_cannot_be_made_says_why() {
    let name = |function| format!("cannot call \"{function}\": not the name of an edge function");
    let cases = [
        (
            Given {
                function: "../../rest/v1/x",
                ..PLAIN
            },
            name("../../rest/v1/x"),
        ),
        (
            Given {
                function: "",
                ..PLAIN
            },
            name(""),
        ),
        (
            Given {
                function: "f?x=1",
                ..PLAIN
            },
            name("f?x=1"),
        ),
        (
            Given {
                auth: "anon",
                ..PLAIN
            },
            "cannot call with auth \"anon\": SUPABASE_ANON_KEY is not set".into(),
        ),
        (
            Given {
                of_queue: "[]",
                ..PLAIN
            },
            "the default_headers of the queue are not an object of strings".into(),
        ),
        (
            Given {
                of_job: r#"{"a":1}"#,
                ..PLAIN
            },
            "the headers of the job are not an object of strings".into(),
        ),
        (
            Given {
                of_job: r#"{"a b":"1"}"#,
                ..PLAIN
            },
            "the headers of the job have a name that HTTP does not allow".into(),
        ),
        (
            Given {
                of_job: r#"{"X-A":"secret\nx"}"#,
                ..PLAIN
            },
            "the headers of the job have a value for x-a that HTTP does not allow".into(),
        ),
        (
            Given {
                of_queue: r#"{"x-a":"€"}"#,
                ..PLAIN
            },
            "the default_headers of the queue have a value for x-a that HTTP does not allow".into(),
        ),
    ];
    for (given, want) in cases {
        assert_eq!(call(&given, &[]), Err(want));
    }
}

#[test]
fn the_database_is_told_with_the_project_key() {
    let report = Report {
        lane: Some(LaneId::from_random([0; 16])),
        ..Report::default()
    };
    let arguments = EndCurrentJob {
        cur_job_id: assignment(&PLAIN).current_job.id,
        is_complete: false,
        is_successful: false,
        report: &report,
        next_within_ms: None,
    };
    let secret = [("SUPABASE_SECRET_KEYS", r#"{"default":"sb_secret_1"}"#)];
    for (keys, authorization, apikey) in [
        (&[][..], Some("Bearer service.jwt"), "service.jwt"),
        (&secret[..], None, "sb_secret_1"),
    ] {
        let (request, body) = end_current_job(&configured(keys), &arguments);
        assert_eq!(request.url, "http://x/rest/v1/rpc/end_current_job");
        assert_eq!(header(&request, "authorization"), authorization);
        assert_eq!(header(&request, "apikey"), Some(apikey));
        assert_eq!(header(&request, "content-type"), Some("application/json"));
        assert_eq!(body, arguments.json());
    }
}
