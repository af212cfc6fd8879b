//! A double of the Supabase CLI: fast, where the real one takes a second to start.
//!
//! It sends the requests that the real CLI sends and ends as that ends, both taken from
//! `recording.json`. Two things differ: it does not wait between retries, and it writes nothing to
//! stderr, which the program does not read. The test `contract` compares it with the real CLI.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a panic fails the test that runs it

mod recording;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use recording::{Body, CUT, Call, Request, Variable};
use serde_json::Value;

fn main() {
    let version = std::env::var("SUPAQUEUE_DOUBLE").expect("SUPAQUEUE_DOUBLE is set");
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut folder = String::from(".");
    if let Some(at) = arguments.iter().position(|word| word == "--workdir") {
        folder = std::mem::replace(&mut arguments[at + 1], "{{folder}}".into());
    }
    let call = recording::read()
        .into_iter()
        .find(|call| call.version.to_string() == version && call.arguments == arguments);
    let call = call.unwrap_or_else(|| panic!("not in the recording: {arguments:?}"));

    let mut stdin = String::new();
    std::io::stdin().read_to_string(&mut stdin).unwrap();
    let status = replay(&call, &recording::inputs(&stdin, &folder));
    std::process::exit(status);
}

/// Sends a call's requests and writes what the real CLI writes. Returns the exit status.
fn replay(call: &Call, inputs: &[Variable]) -> i32 {
    let Some((last, first)) = call.requests.split_last() else {
        return end(&call.outcomes[0], &[]);
    };
    let (url, token) = (api_url(), std::env::var("SUPABASE_ACCESS_TOKEN").unwrap());
    let send = |request: &Request| {
        let body = request.body.map(|value| filled(value, inputs));
        send(&url, &token, request, &body)
    };
    for request in first {
        let (answer, body) = send(request);
        assert!(
            answer.starts_with('2'),
            "not in the recording: {answer} {body}"
        );
    }
    let mut tries: BTreeMap<String, u32> = BTreeMap::new();
    loop {
        let (answer, body) = send(last);
        let outcome = call
            .outcomes
            .iter()
            .find(|outcome| outcome.answers.contains(&answer))
            .unwrap_or_else(|| panic!("not in the recording: {answer} {body}"));
        let tried = tries.entry(answer.clone()).or_default();
        *tried += 1;
        match outcome.tries {
            Some(tries) if *tried >= tries => {
                let mut variables = recording::of_answer(&answer, &body, &url);
                variables.extend_from_slice(inputs);
                return end(outcome, &variables);
            }
            Some(_) => {}
            // The real one repeats it at growing intervals; nobody waits for the end.
            None => std::thread::sleep(Duration::from_secs(1)),
        }
    }
}

fn end(outcome: &recording::Outcome, variables: &[Variable]) -> i32 {
    match filled(&outcome.stdout, variables) {
        Value::String(text) => println!("{text}"),
        json => println!("{json}"),
    }
    outcome.status.unwrap()
}

/// Replaces names with their values.
fn filled(value: &Value, variables: &[Variable]) -> Value {
    let replace = |value: &Value| {
        let text = value.as_str()?;
        match variables.iter().find(|v| v.name == text) {
            Some(variable) => Some(variable.value.clone()),
            None => Some(
                variables
                    .iter()
                    .fold(text.to_owned(), |text, v| text.replace(&v.name, &v.text))
                    .into(),
            ),
        }
    };
    recording::map(value, &replace)
}

/// The API that the CLI's profile names.
fn api_url() -> String {
    let profile = std::env::var("SUPABASE_PROFILE").expect("SUPABASE_PROFILE is set");
    let profile = std::fs::read_to_string(profile).unwrap();
    let url = profile
        .lines()
        .find_map(|line| line.strip_prefix("api_url: "));
    url.expect("the profile has an api_url").to_owned()
}

/// Sends a request. Returns the status of the answer, or [`CUT`], and its body.
fn send(url: &str, token: &str, request: &Request, body: &Body) -> (String, String) {
    let (content_type, body) = match body {
        Body::Empty => (String::new(), String::new()),
        Body::Json(value) => (
            "content-type: application/json\r\n".into(),
            value.to_string(),
        ),
        Body::Form(parts) => {
            const BOUNDARY: &str = "----boundary-of-the-double";
            let parts = parts.as_array().unwrap().iter();
            let text = |part: &Value| part.as_str().unwrap().to_owned();
            let parts: String = parts
                .map(|part| {
                    format!(
                        "--{BOUNDARY}\r\n{}\r\n\r\n{}\r\n",
                        text(&part[0]),
                        text(&part[1])
                    )
                })
                .collect();
            (
                format!("content-type: multipart/form-data; boundary={BOUNDARY}\r\n"),
                format!("{parts}--{BOUNDARY}--\r\n"),
            )
        }
    };
    let host = url.strip_prefix("http://").unwrap();
    let Request { method, path, .. } = request;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
         connection: close\r\n{content_type}content-length: {length}\r\n\r\n"
    );
    let mut stream = TcpStream::connect(host).unwrap();
    let mut answer = Vec::new();
    // A connection that is cut may also refuse what is sent.
    let sent = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(body.as_bytes()))
        .and_then(|()| stream.read_to_end(&mut answer));
    let answer = String::from_utf8(answer).unwrap();
    match (sent, answer.split_once("\r\n\r\n")) {
        (Ok(_), Some((head, body))) => {
            let status = head.split(' ').nth(1).unwrap();
            (status.to_owned(), body.to_owned())
        }
        _ => (CUT.to_owned(), String::new()),
    }
}
