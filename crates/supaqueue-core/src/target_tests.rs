use super::*;
use crate::config::tests::project;
use crate::fetch::BodyEnd;
use crate::inbound::{Rejection, check_body};
use crate::signature::{SignatureError, SignedHeaders};

const NOW: Timestamp = Timestamp::from_ms(1_795_417_959_123);
const JOB: &str = "0af76519-16cd-43dd-8448-eb211c80319c";
/// The header of call 7 of the run.
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-0000000000000007-01";

struct Given<'a> {
    function: &'a str,
    path: &'a str,
    auth: &'a str,
    of_queue: &'a str,
    of_job: &'a str,
}

const PLAIN: Given<'_> = Given {
    function: "f",
    path: "",
    auth: "service_role",
    of_queue: "null",
    of_job: "null",
};

fn assignment(given: &Given<'_>) -> Assignment {
    let Given {
        function,
        path,
        auth,
        of_queue,
        of_job,
    } = given;
    let path = json::string(path);
    let path = path.get();
    json::from_str(&format!(
        r#"{{"current_job":{{"id":"{JOB}"}},
        "job":{{"id":"{JOB}","payload":{{"a": 1.10}},"attempts":3,"headers":{of_job},"path":{path},"timeout_ms":1000}},
        "queue":{{"id":"{JOB}","name":"Straße 100%","edge_function_name":"{function}","default_headers":{of_queue},"timeout_ms":60000,"auth":"{auth}"}}}}"#
    ))
    .unwrap()
}

fn call(given: &Given<'_>, keys: &[(&str, &str)]) -> Result<Request, CannotCall> {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let trace = Trace::new(Some(parent), [0; 16]);
    let base = [("SUPABASE_URL", "http://x/"), ("SUPABASE_ANON_KEY", "")];
    let settings = project(&[keys, &base].concat());
    request(&assignment(given), &settings, trace, 7, NOW)
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let mut values = (request.headers.iter()).filter(|(known, _)| known == name);
    let first = values.next();
    assert!(values.next().is_none(), "{name} is sent twice");
    first.map(|(_, value)| value.as_str())
}

fn key_headers(request: &Request) -> [Option<&str>; 2] {
    ["authorization", "apikey"].map(|name| header(request, name))
}

#[test]
fn a_call_carries_our_headers_and_the_payload() {
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
        ("traceparent", TRACEPARENT),
        ("webhook-id", "call_0af76519-16cd-43dd-8448-eb211c80319c"),
        ("webhook-timestamp", "1795417959"),
    ];
    for (name, value) in want {
        assert_eq!(header(&request, name), Some(value), "{name}");
    }
    assert_eq!(request.headers.len(), want.len() + 1, "and the signature");
    assert_eq!(&*request.body, r#"{"a": 1.10}"#);
    assert_eq!((request.within_ms, request.limit), (1000, 262_144));
}

#[test]
fn a_call_is_rejected_as_a_dispatch() {
    let request = call(&PLAIN, &[]).unwrap();
    let [id, timestamp, signature] = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .map(|name| header(&request, name).unwrap());
    let headers = SignedHeaders {
        id,
        timestamp,
        signature,
    };
    let (body, settings) = (request.body.as_bytes(), project(&[]));
    let rejection = check_body(headers, body, &BodyEnd::Complete, &settings, NOW).unwrap_err();
    let reason = SignatureError::NotADispatch;
    assert_eq!(rejection, Rejection::unsigned(reason));
}

#[test]
fn headers_of_a_job_override_those_of_its_queue_and_ours_override_both() {
    let given = Given {
        of_queue: r#"{"X-A":"queue","x-b":"queue","Content-Type":"text/plain","Authorization":"Bearer mine","host":"evil","webhook-extra":"1"}"#,
        of_job: r#"{"x-a":"job","SUPAQUEUE-ATTEMPT":"9","supaqueue-new":"1","supaqueue-schedule":"nightly","supaqueue-scheduled-at":"2026-11-30T03:00:00Z","supaqueue-on-end":"1","apikey":"mine","Content-Length":"1","traceparent":"x"}"#,
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
        ("supaqueue-schedule", Some("nightly")),
        ("supaqueue-scheduled-at", Some("2026-11-30T03:00:00Z")),
        ("supaqueue-on-end", Some("1")),
        ("supaqueue-attempt", Some("3")),
        ("traceparent", Some(TRACEPARENT)),
    ];
    for (name, value) in want {
        assert_eq!(header(&request, name), value, "{name}");
    }
}

#[test]
fn a_call_goes_on_with_the_trace_that_its_job_was_inserted_in() {
    let of_job = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let child = "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000007-00";
    let cases = [
        (of_job, child),
        (
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            TRACEPARENT,
        ),
        ("nonsense", TRACEPARENT),
    ];
    for (given, want) in cases {
        let headers = format!(r#"{{"TraceParent":"{given}"}}"#);
        let given = Given {
            of_job: &headers,
            ..PLAIN
        };
        let request = call(&given, &[]).unwrap();
        assert_eq!(header(&request, "traceparent"), Some(want), "{headers}");
    }
}

#[test]
fn each_form_of_a_key_has_its_header() {
    let secret = ("SUPABASE_SECRET_KEYS", r#"{"default":"sb_secret_1"}"#);
    let no_jwt = ("SUPABASE_SERVICE_ROLE_KEY", "");
    let anon = ("SUPABASE_ANON_KEY", "anon.jwt");
    let publishable = r#"{"default":"sb_publishable_1"}"#;
    let publishable = ("SUPABASE_PUBLISHABLE_KEYS", publishable);
    type Variables<'a> = &'a [(&'a str, &'a str)];
    #[rustfmt::skip] // one case per line
    let cases: [(&str, Variables<'_>, [Option<&str>; 2]); 6] = [
        ("service_role", &[], [Some("Bearer service.jwt"), None]),
        ("service_role", &[secret, no_jwt], [None, Some("sb_secret_1")]),
        ("service_role", &[secret], [Some("Bearer service.jwt"), Some("sb_secret_1")]),
        ("anon", &[anon], [Some("Bearer anon.jwt"), None]),
        ("anon", &[publishable], [None, Some("sb_publishable_1")]),
        ("none", &[anon, secret], [None, None]),
    ];
    for (auth, keys, want) in cases {
        let request = call(&Given { auth, ..PLAIN }, keys).unwrap();
        assert_eq!(key_headers(&request), want, "{auth} {keys:?}");
    }
    let own = Given {
        auth: "none",
        of_queue: r#"{"authorization":"Basic eA==","apikey":"k"}"#,
        ..PLAIN
    };
    let request = call(&own, &[]).unwrap();
    let want = [Some("Basic eA=="), Some("k")];
    let reason = "a queue without a project key may set its own";
    assert_eq!(key_headers(&request), want, "{reason}");
}

#[test]
fn every_name_of_an_edge_function_can_be_called() {
    for function in ["f", "send-mail", "Send_Mail_2", "-", "_"] {
        let request = call(&Given { function, ..PLAIN }, &[]).unwrap();
        assert_eq!(request.url, format!("http://x/functions/v1/{function}"));
    }
}

/// As in the tests of the schema, in tests/sql/constraints.rs.
#[test]
fn a_path_follows_the_name() {
    let cases = [
        ("", ""),
        ("users/welcome?lang=de", "/users/welcome?lang=de"),
        ("a/", "/a/"),
        ("?a=/../b//c", "?a=/../b//c"),
        ("a?b?c", "/a?b?c"),
        ("a/?b", "/a/?b"),
        ("...", "/..."),
        (".a/a.b/b..", "/.a/a.b/b.."),
        ("%2e%2ea/%41", "/%2e%2ea/%41"),
        ("a%2fb", "/a%2fb"),
        ("Müller:@", "/Müller:@"),
    ];
    for (path, want) in cases {
        let request = call(&Given { path, ..PLAIN }, &[]).unwrap();
        assert_eq!(request.url, format!("http://x/functions/v1/f{want}"));
    }
}

#[test]
fn a_path_cannot_lead_elsewhere() {
    #[rustfmt::skip] // one row per kind
    let paths = [
        "/", "/a", "a//b", "a//", "%2f", "a%2F/b", "//?a",
        ".", "..", "../a", "a/..", "a/./b", "a/../b", "../?a", "..?a", "a/.?b",
        "%2e", "%2E.", ".%2e/a", "a%2f..%2Fb", "a/%2e%2E",
        "a b", "a\\b", "a\tb", "a\n", "\u{1}", "\u{7F}", "#", "a?b#c",
    ];
    for path in paths {
        let message =
            format!("cannot call \"f\": not a path like users/welcome?lang=de: \"{path}\"");
        let want = Err(CannotCall::Ever(message));
        assert_eq!(call(&Given { path, ..PLAIN }, &[]), want);
    }
}

#[test]
fn headers_that_would_break_the_call_are_dropped() {
    #[rustfmt::skip]
    let names = [
        "host", "connection", "keep-alive", "upgrade", "http2-settings", "te", "trailer", "transfer-encoding",
        "expect", "accept-encoding", "proxy-connection", "proxy-authenticate", "proxy-authorization",
        "content-length", "content-encoding", "content-range", "content-md5", "content-digest", "repr-digest",
        "digest",
    ];
    for name in names {
        let of_job = format!(r#"{{"{}":"1","x-kept":"1"}}"#, name.to_uppercase());
        let given = Given {
            of_job: &of_job,
            ..PLAIN
        };
        let request = call(&given, &[]).unwrap();
        assert_eq!(header(&request, name), None, "{name}");
        assert_eq!(header(&request, "x-kept"), Some("1"), "beside {name}");
    }
}

#[test]
fn a_call_without_a_key_waits_for_the_project() {
    let anon = Given {
        auth: "anon",
        ..PLAIN
    };
    let Err(CannotCall::Yet(problem)) = call(&anon, &[]) else {
        panic!("a missing key is not the job's fault");
    };
    assert!(problem.contains("set SUPABASE_ANON_KEY or SUPABASE_PUBLISHABLE_KEYS"));
}

#[test]
fn a_call_with_an_auth_of_a_later_schema_waits_for_this_function() {
    let later = Given {
        auth: "signed_jwt",
        ..PLAIN
    };
    let Err(CannotCall::Yet(problem)) = call(&later, &[]) else {
        panic!("an old function is not the job's fault");
    };
    assert!(problem.contains("supaqueue install"), "{problem}");
}

#[test]
fn an_impossible_call_says_why() {
    let name = |function| {
        let message = format!("cannot call \"{function}\": not the name of an edge function");
        (Given { function, ..PLAIN }, message)
    };
    let of_job = |of_job, message| {
        let message = format!("the headers of the job {message}");
        (Given { of_job, ..PLAIN }, message)
    };
    let of_queue = |of_queue, message| {
        let message = format!("the default_headers of the queue {message}");
        (Given { of_queue, ..PLAIN }, message)
    };
    let value = "have a value for x-a that HTTP does not allow";
    let cases = [
        name("../../rest/v1/x"),
        name(""),
        name("f?x=1"),
        of_queue("[]", "are not an object of strings"),
        of_job(r#"{"a":1}"#, "are not an object of strings"),
        of_job(r#"{"a b":"1"}"#, "have a name that HTTP does not allow"),
        of_job(r#"{"X-A":"secret\nx"}"#, value),
        of_queue(r#"{"x-a":"€"}"#, value),
    ];
    for (given, want) in cases {
        assert_eq!(call(&given, &[]), Err(CannotCall::Ever(want)));
    }
}
