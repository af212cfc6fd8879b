use super::*;
use crate::config::tests::project;
use crate::fetch::BodyEnd;
use crate::protocol::parse_dispatch;

const START: Timestamp = Timestamp::from_ms(1_795_417_959_000);
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

fn moment(ms: u64) -> Moment {
    Moment {
        now: START.plus(ms),
        random: 0x5 << 64,
        is_ending: false,
    }
}

fn id(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

fn dispatch(calls: &[u32]) -> Dispatch {
    let record = |n: &u32| format!(r#"{{"current_job":{{"id":"{}"}}}}"#, id(*n));
    let records: Vec<_> = calls.iter().map(record).collect();
    let records = records.join(",");
    parse_dispatch(&format!(r#"{{"protocol":2,"current_jobs":[{records}]}}"#)).unwrap()
}

fn record(n: u32, function: &str) -> String {
    format!(
        r#"{{"current_job":{{"id":"{id}"}},"job":{{"id":"{id}","payload":{n},"attempts":1}},
        "queue":{{"id":"{id}","name":"q","edge_function_name":"{function}","timeout_ms":5000,"auth":"none"}}}}"#,
        id = id(n)
    )
}

fn json(status: u16, body: &str) -> Result<Response, Failure> {
    Ok(Response {
        status,
        content_type: Some("application/json".into()),
        body: body.into(),
        body_end: BodyEnd::Complete,
        ..Response::default()
    })
}

fn started(records: &[String]) -> Result<Response, Failure> {
    let records = records.join(",");
    let body = format!(r#"{{"accepted":true,"lease_ms":60000,"started":[{records}]}}"#);
    json(200, &body)
}

fn isolate(changes: &[(&str, &str)]) -> Isolate {
    Isolate::new(project(changes), START)
}

/// The requests among the actions.
fn sent(actions: &[Action]) -> Vec<(RequestId, &Request)> {
    let request = |action| match action {
        &Action::Send(id, ref request) => Some((id, request)),
        _ => None,
    };
    actions.iter().filter_map(request).collect()
}

fn show(actions: &[Action]) -> Vec<String> {
    let show = |action: &Action| match action {
        Action::Send(id, request) => {
            let (_, path) = request.url.rsplit_once('/').unwrap_or_default();
            format!("send {} {path} within {}", id.0, request.within_ms)
        }
        Action::Abort(id) => format!("abort {}", id.0),
        Action::Log(entry) => format!("log {}", entry.event),
        Action::Wait(ms) => format!("wait {ms}"),
        Action::End => "end".into(),
    };
    actions.iter().map(show).collect()
}

#[test]
fn a_dispatch_leads_to_requests_until_its_run_ends() {
    let mut isolate = isolate(&[("SUPAQUEUE_LOG_LEVEL", "warn")]);
    assert!(isolate.is_idle());
    let actions = isolate.dispatched(dispatch(&[1]), Some(TRACEPARENT), moment(0));
    assert_eq!(
        show(&actions),
        ["send 0 supaqueue_pulse within 8000", "wait 55000"]
    );
    let (pulse, request) = sent(&actions)[0];
    assert!(
        request
            .body
            .contains(&format!(r#""acknowledge":["{}"]"#, id(1)))
    );

    let actions = isolate.ended(pulse, started(&[record(1, "f")]), moment(10));
    assert_eq!(show(&actions), ["send 0 f within 5000", "wait 9990"]);
    let (call, request) = sent(&actions)[0];
    let traceparent = request
        .headers
        .iter()
        .find(|(name, _)| name == "traceparent");
    let trace = "00-0af7651916cd43dd8448eb211c80319c-0000000000000005-01";
    assert_eq!(traceparent.unwrap().1, trace, "the trace of the dispatch");

    let actions = isolate.ended(call, json(200, "{}"), moment(20));
    assert_eq!(
        show(&actions),
        ["send 0 end_current_job within 8000"],
        "it wakes at the same time as before"
    );
    let (report, _) = sent(&actions)[0];
    let settled = json(200, r#"{"accepted":true,"state":"settled","next":null}"#);
    let actions = isolate.ended(report, settled, moment(30));
    assert_eq!(show(&actions), ["end"]);
    assert!(isolate.is_idle());
    assert_eq!(show(&isolate.woke(moment(40))), [""; 0]);
    assert_eq!(
        show(&isolate.ended(report, json(200, ""), moment(40))),
        [""; 0]
    );
}

#[test]
fn a_dispatch_joins_the_run_that_is_there() {
    let mut isolate = isolate(&[]);
    let actions = isolate.dispatched(dispatch(&[1]), None, moment(0));
    let (pulse, request) = sent(&actions)[0];
    let run = |request: &Request| request.body[..46].to_owned();
    let first = run(request);
    isolate.ended(pulse, started(&[record(1, "f")]), moment(10));
    let other = Moment {
        random: 0x9,
        ..moment(20)
    };
    let actions = isolate.dispatched(dispatch(&[2]), None, other);
    let (_, request) = sent(&actions)[0];
    assert_eq!(run(request), first);
    assert!(request.body.contains(r#""_number":2"#));
}

#[test]
fn a_dispatch_without_a_readable_record_starts_nothing() {
    let mut isolate = isolate(&[]);
    let malformed = parse_dispatch(r#"{"protocol":2,"current_jobs":[{}]}"#).unwrap();
    let actions = isolate.dispatched(malformed, None, moment(0));
    assert_eq!(show(&actions), ["log record_malformed"]);
    assert!(isolate.is_idle());
}

#[test]
fn each_call_has_a_span_of_its_own() {
    let mut isolate = isolate(&[]);
    let actions = isolate.dispatched(dispatch(&[1, 2]), Some(TRACEPARENT), moment(0));
    let (pulse, _) = sent(&actions)[0];
    let moment = Moment {
        random: u128::MAX,
        ..moment(10)
    };
    let actions = isolate.ended(pulse, started(&[record(1, "f"), record(2, "f")]), moment);
    let requests = sent(&actions);
    let spans = requests.iter().map(|(_, request)| {
        let header = request
            .headers
            .iter()
            .find(|(name, _)| *name == "traceparent");
        header.unwrap().1.clone()
    });
    let spans: Vec<_> = spans.collect();
    assert_ne!(spans[0], spans[1]);
}

#[test]
fn counts_are_logged() {
    let mut isolate = isolate(&[("SUPAQUEUE_LOG_LEVEL", "debug")]);
    let line = |actions: &[Action]| match &actions[0] {
        Action::Log(entry) => entry.line(),
        _ => String::new(),
    };
    let actions = isolate.dispatched(dispatch(&[1, 2]), None, moment(0));
    let want = r#"{"level":"debug","event":"dispatch_accepted","count":2}"#;
    assert_eq!(line(&actions), want);
    let (pulse, _) = sent(&actions)[0];
    let actions = isolate.ended(pulse, started(&[record(1, "f")]), moment(1));
    let (call, _) = sent(&actions)[0];
    let actions = isolate.ended(call, json(200, "{}"), moment(2));
    let (report, _) = sent(&actions)[0];
    let settled = json(200, r#"{"accepted":true,"next":null}"#);
    let actions = isolate.ended(report, settled, moment(3));
    let want = r#"{"level":"debug","event":"lanes_ended","count":1}"#;
    assert_eq!(line(&actions), want);
}

#[test]
fn a_call_that_cannot_be_made_is_reported_at_once() {
    let mut isolate = isolate(&[("SUPAQUEUE_LOG_LEVEL", "error")]);
    let actions = isolate.dispatched(dispatch(&[1, 2]), None, moment(0));
    let (pulse, _) = sent(&actions)[0];
    let records = [record(1, "../f"), record(2, "f")];
    let actions = isolate.ended(pulse, started(&records), moment(10));
    assert_eq!(
        show(&actions),
        [
            "send 1 f within 5000",
            "send 0 end_current_job within 8000",
            "wait 9990"
        ]
    );
    let requests = sent(&actions);
    assert!(
        requests[1]
            .1
            .body
            .contains("not the name of an edge function")
    );
}

#[test]
fn after_a_lost_lease_the_next_run_takes_over() {
    let mut isolate = isolate(&[("SUPAQUEUE_LOG_LEVEL", "error")]);
    let actions = isolate.dispatched(dispatch(&[1]), None, moment(0));
    let (pulse, _) = sent(&actions)[0];
    let actions = isolate.ended(pulse, started(&[record(1, "f")]), moment(10));
    let (call, _) = sent(&actions)[0];
    let actions = isolate.woke(moment(55_000));
    assert_eq!(
        show(&actions),
        ["log call_aborted", "abort 0", "log run_over"]
    );
    let actions = isolate.dispatched(dispatch(&[2]), None, moment(55_001));
    assert_eq!(show(&actions), [""; 0], "its call has not ended yet");
    assert!(!isolate.is_idle());
    let actions = isolate.ended(call, Err(Failure::Aborted), moment(55_002));
    assert_eq!(
        show(&actions),
        ["send 0 supaqueue_pulse within 8000", "wait 55000"]
    );
    assert!(sent(&actions)[0].1.body.contains(r#""_number":1"#));
}

#[test]
fn a_refused_pulse_is_remembered_until_one_succeeds() {
    let mut isolate = isolate(&[]);
    let actions = isolate.dispatched(dispatch(&[1]), None, moment(0));
    let (pulse, _) = sent(&actions)[0];
    isolate.ended(
        pulse,
        json(401, r#"{"message":"Invalid API key"}"#),
        moment(1),
    );
    assert_eq!(isolate.last_refusal(), Some("status 401  Invalid API key"));
    let actions = isolate.woke(moment(1000));
    let (pulse, _) = sent(&actions)[0];
    isolate.ended(pulse, started(&[]), moment(1001));
    assert_eq!(isolate.last_refusal(), None);
    isolate.last_refusal = Some("why".into());
    let other = Isolate::with(project(&[]), START, &isolate);
    assert_eq!(
        other.last_refusal(),
        Some("why"),
        "also with other settings"
    );
}

/// Such as a schema of another version: the reply to the next dispatch, which the database keeps, says so.
#[test]
fn the_reason_for_not_accepting_a_pulse_is_remembered() {
    let mut isolate = isolate(&[]);
    let actions = isolate.dispatched(dispatch(&[1]), None, moment(0));
    let (pulse, _) = sent(&actions)[0];
    let answer = r#"{"accepted":false,"reason":"upgrade the schema"}"#;
    isolate.ended(pulse, json(200, answer), moment(1));
    assert_eq!(isolate.last_refusal(), Some("upgrade the schema"));
}

#[test]
fn an_isolate_that_is_about_to_end_asks_for_nothing_more() {
    let mut isolate = isolate(&[]);
    let actions = isolate.dispatched(dispatch(&[1]), None, moment(0));
    let (pulse, _) = sent(&actions)[0];
    let actions = isolate.ended(pulse, started(&[record(1, "f")]), moment(10));
    let (call, _) = sent(&actions)[0];
    let ending = Moment {
        is_ending: true,
        ..moment(20)
    };
    let actions = isolate.ended(call, json(200, "{}"), ending);
    let (_, report) = sent(&actions)[0];
    assert!(!report.body.contains("_next"), "{}", report.body);
}
