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

/// The number of a call: the last part of its id.
fn number(request: &Request) -> u32 {
    let (_, id) = request
        .body
        .split_once("cur_job_id\":\"")
        .unwrap_or_default();
    id[24..36].parse().unwrap()
}

/// How many reports a request has.
fn reports(request: &Request) -> usize {
    request.body.matches("cur_job_id").count()
}

fn answer(next: Option<u32>, held: Option<u32>) -> String {
    let record = |n: Option<u32>| n.map_or("null".into(), |n| record(n, "f"));
    format!(
        r#"{{"accepted":true,"next":{},"held":{}}}"#,
        record(next),
        record(held)
    )
}

/// An isolate with `lanes` calls in flight, each with another one that is held ready, and the calls.
fn prefetching(lanes: u32) -> (Isolate, Vec<RequestId>) {
    let mut isolate = isolate(&[("SUPAQUEUE_LOG_LEVEL", "error")]);
    let first: Vec<u32> = (1..=lanes).collect();
    let actions = isolate.dispatched(dispatch(&first), None, moment(0));
    let (pulse, _) = sent(&actions)[0];
    let records: Vec<_> = first.iter().map(|n| record(*n, "f")).collect();
    let actions = isolate.ended(pulse, started(&records), moment(1));
    let mut calls: Vec<_> = sent(&actions).iter().map(|(id, _)| *id).collect();
    // After two short calls, a lane asks for one to hold.
    for is_last in [false, true] {
        for call in &mut calls {
            let actions = isolate.ended(*call, json(200, "{}"), moment(2));
            let (report, request) = sent(&actions)[0];
            assert!(request.url.ends_with("/end_current_job"));
            let n = number(request);
            let held = is_last.then_some(n + 200);
            let actions = isolate.ended(report, json(200, &answer(Some(n + 100), held)), moment(2));
            *call = sent(&actions)[0].0;
        }
    }
    (isolate, calls)
}

/// Ends the calls of lanes that hold another one, which begin. Returns the requests with reports.
fn end(isolate: &mut Isolate, calls: &[RequestId]) -> Vec<(RequestId, Request)> {
    let mut reports = Vec::new();
    for call in calls {
        let actions = isolate.ended(*call, json(200, "{}"), moment(3));
        let sent = sent(&actions);
        let is_call = |request: &Request| request.url.ends_with("/f");
        assert!(is_call(sent[0].1), "the held call begins first");
        let others = sent.into_iter().filter(|(_, request)| !is_call(request));
        reports.extend(others.map(|(id, request)| (id, request.clone())));
    }
    reports
}

/// An isolate whose lanes have all reported, four of them alone, and the request with the others.
fn together(lanes: u32) -> (Isolate, RequestId, Request) {
    let (mut isolate, calls) = prefetching(lanes);
    let four = end(&mut isolate, &calls);
    let actions = isolate.ended(four[0].0, json(200, &answer(None, None)), moment(4));
    let (id, request) = sent(&actions)[0];
    (isolate, id, request.clone())
}

#[test]
fn reports_wait_while_four_are_unanswered_and_then_go_together() {
    let (mut isolate, calls) = prefetching(9);
    let alone = end(&mut isolate, &calls);
    let urls = alone.iter().map(|(_, request)| &request.url);
    assert!(urls.clone().all(|url| url.ends_with("/end_current_job")));
    assert_eq!(urls.count(), 4, "the other five wait");

    let actions = isolate.ended(alone[0].0, json(200, &answer(None, None)), moment(4));
    let sent_now = sent(&actions);
    let [(id, request)] = sent_now[..] else {
        panic!("{:?}", show(&actions));
    };
    assert!(request.url.ends_with("/rest/v1/rpc/end_current_jobs"));
    assert_eq!((reports(request), request.within_ms), (5, 8000));
    assert!(request.body.starts_with(r#"{"_run":""#), "{}", request.body);
    assert!(request.body.contains(r#""_reports":[{"cur_job_id":""#));

    let held: Vec<_> = (901..=905).map(|n| answer(None, Some(n))).collect();
    let actions = isolate.ended(id, json(200, &format!("[{}]", held.join(","))), moment(5));
    assert_eq!(show(&actions), [""; 0], "each lane has its answer");
    let calls: Vec<_> = isolate.run.as_ref().unwrap().calls().collect();
    assert_eq!(calls.len(), 9 + 5, "nine in flight, five held");
}

#[test]
fn a_report_without_an_answer_of_its_own_is_sent_by_itself() {
    for (answers, alone) in [
        (json(200, &format!("[{0},null,{0}]", answer(None, None))), 1),
        (json(200, &format!("[{}]", answer(None, None))), 2),
        (json(200, "null"), 3),
        (json(200, "{"), 3),
        (json(500, r#"{"code":"P0001","message":"no"}"#), 3),
        (json(404, r#"{"code":"PGRST202"}"#), 3),
        (Err(Failure::Aborted), 3),
        (
            Ok(Response {
                status: 200,
                body: format!("[{0},{0},{0}]", answer(None, None)).into(),
                body_end: BodyEnd::Truncated,
                ..Response::default()
            }),
            3,
        ),
    ] {
        let (mut isolate, id, _) = together(7);
        let name = format!("{answers:?}");
        let actions = isolate.ended(id, answers, moment(5));
        let urls = sent(&actions);
        assert!(
            urls.iter()
                .all(|(_, request)| reports(request) == 1
                    && request.url.ends_with("/end_current_job")),
            "{name}"
        );
        assert_eq!(urls.len(), alone, "{name}");
    }
}

#[test]
fn other_reports_wait_for_nothing() {
    let (mut isolate, calls) = prefetching(8);
    let four = end(&mut isolate, &calls[..4]);
    assert_eq!(four.len(), 4);
    for (status, body) in [
        (500, "{}".to_owned()),
        (200, format!("\"{}\"", "x".repeat(60_000))),
    ] {
        let call = calls[4 + usize::from(status == 200)];
        let actions = isolate.ended(call, json(status, &body), moment(4));
        let urls: Vec<_> = sent(&actions).iter().map(|(_, r)| r.url.clone()).collect();
        assert!(
            urls.iter().any(|url| url.ends_with("/end_current_job")),
            "{status}: {urls:?}"
        );
    }
}

#[test]
fn a_result_of_50_000_bytes_is_ordinary_and_a_larger_one_is_not() {
    for (bytes, waits) in [(50_000, true), (50_001, false)] {
        let (mut isolate, calls) = prefetching(5);
        assert_eq!(end(&mut isolate, &calls[..4]).len(), 4);
        let body = format!("\"{}\"", "x".repeat(bytes - 2));
        let actions = isolate.ended(calls[4], json(200, &body), moment(4));
        let sent = sent(&actions);
        let mut urls = sent.iter().map(|(_, request)| &request.url);
        let is_sent = urls.any(|url| url.ends_with("/end_current_job"));
        assert_eq!(is_sent, !waits, "{bytes}");
    }
}

#[test]
fn the_report_without_an_answer_is_the_one_that_is_sent_again() {
    let (mut isolate, id, request) = together(7);
    let ids: Vec<_> = request.body.split("cur_job_id\":\"").skip(1).collect();
    let third: u32 = ids[2][24..36].parse().unwrap();
    let answers = format!("[{0},{0},null]", answer(None, None));
    let actions = isolate.ended(id, json(200, &answers), moment(5));
    let again = sent(&actions);
    assert_eq!(again.len(), 1);
    assert_eq!(number(again[0].1), third);
}

#[test]
fn two_reports_that_went_together_have_an_answer_each() {
    let (mut isolate, id, request) = together(6);
    assert_eq!(reports(&request), 2);
    let answers = format!("[{0},{0}]", answer(None, None));
    let actions = isolate.ended(id, json(200, &answers), moment(5));
    assert_eq!(show(&actions), [""; 0], "neither is sent again");
    let wakes_at = isolate.run.as_ref().unwrap().wakes_at();
    assert_eq!(wakes_at, Some(START.plus(10_000)), "for the next pulse");
}

#[test]
fn a_request_has_25_reports_at_most() {
    let (mut isolate, calls) = prefetching(40);
    let four = end(&mut isolate, &calls);
    let mut sizes = Vec::new();
    for (id, _) in &four {
        let actions = isolate.ended(*id, json(200, &answer(None, None)), moment(4));
        sizes.extend(sent(&actions).iter().map(|(_, request)| reports(request)));
    }
    assert_eq!(sizes, [25, 11]);
}

#[test]
fn reports_that_went_together_are_not_sent_again_when_their_run_is_over() {
    let (mut isolate, together, request) = together(7);
    assert_eq!(reports(&request), 3);
    let actions = isolate.woke(moment(55_001));
    assert!(show(&actions).contains(&format!("abort {}", together.0)));
    let actions = isolate.ended(together, Err(Failure::Aborted), moment(55_002));
    assert_eq!(show(&actions), [""; 0]);
    let left: Vec<_> = isolate.unanswered.iter().map(|(id, _)| *id).collect();
    for id in left {
        assert!(!isolate.is_idle());
        isolate.ended(id, Err(Failure::Aborted), moment(55_003));
    }
    assert!(isolate.is_idle(), "each report has its answer");
}

#[test]
fn reports_that_wait_end_with_their_run() {
    let (mut isolate, calls) = prefetching(6);
    let four = end(&mut isolate, &calls);
    let refused = json(200, r#"{"accepted":false,"reason":"this run is over"}"#);
    let actions = isolate.ended(four[0].0, refused, moment(4));
    let aborted = show(&actions);
    assert!(
        aborted.iter().all(|line| !line.starts_with("send")),
        "{aborted:?}"
    );
    // Six calls in flight and three reports are on their way; two reports never left.
    assert_eq!(
        aborted
            .iter()
            .filter(|line| line.starts_with("abort"))
            .count(),
        9
    );
    let mut left: Vec<_> = isolate.unanswered.iter().map(|(id, _)| *id).collect();
    left.sort();
    for id in &left {
        assert!(!isolate.is_idle());
        isolate.ended(*id, Err(Failure::Aborted), moment(5));
    }
    assert!(isolate.is_idle());
}
