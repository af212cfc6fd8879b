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
use serde::Serialize;
use serde::de::DeserializeOwned;
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
    let send = |request| send(&url, &token, &filled(request, inputs));
    for request in first {
        let (answer, body) = send(request);
        assert!(
            answer.starts_with('2'),
            "not in the recording: {answer} {body}"
        );
    }
    let mut tries: BTreeMap<String, usize> = BTreeMap::new();
    loop {
        let (answer, body) = send(last);
        let mut outcomes = call.outcomes.iter();
        let outcome = outcomes.find(|outcome| outcome.answers.contains(&answer));
        let outcome = outcome.unwrap_or_else(|| panic!("not in the recording: {answer} {body}"));
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
fn filled<T: Serialize + DeserializeOwned>(of: &T, variables: &[Variable]) -> T {
    let replace = |value: &Value| {
        let text = value.as_str()?;
        if let Some(variable) = variables.iter().find(|v| v.name == text) {
            return Some(variable.value.clone());
        }
        let replace = |text: String, v: &Variable| text.replace(&v.name, &v.text);
        Some(variables.iter().fold(text.to_owned(), replace).into())
    };
    recording::map(of, &replace)
}

/// The API that the CLI's profile names.
fn api_url() -> String {
    let profile = std::env::var("SUPABASE_PROFILE").expect("SUPABASE_PROFILE is set");
    let profile = std::fs::read_to_string(profile).unwrap();
    let mut lines = profile.lines();
    let url = lines.find_map(|line| line.strip_prefix("api_url: "));
    url.expect("the profile has an api_url").to_owned()
}

/// Sends a request. Returns the status of the answer, or [`CUT`], and its body.
fn send(url: &str, token: &str, request: &Request) -> (String, String) {
    const BOUNDARY: &str = "----boundary-of-the-double";
    let Request { method, path, body } = request;
    let (content_type, body) = match body {
        Body::Empty => (String::new(), String::new()),
        Body::Json(value) => (
            "content-type: application/json\r\n".into(),
            value.to_string(),
        ),
        Body::Form(parts) => {
            let part =
                |(head, content): &(_, _)| format!("--{BOUNDARY}\r\n{head}\r\n\r\n{content}\r\n");
            let parts: String = parts.iter().map(part).collect();
            (
                format!("content-type: multipart/form-data; boundary={BOUNDARY}\r\n"),
                format!("{parts}--{BOUNDARY}--\r\n"),
            )
        }
    };
    let host = url.strip_prefix("http://").unwrap();
    let length = body.len();
    let message = format!(
        "{method} {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {token}\r\n\
         connection: close\r\n{content_type}content-length: {length}\r\n\r\n{body}"
    );
    let mut stream = TcpStream::connect(host).unwrap();
    let mut answer = String::new();
    // A connection that is cut may also refuse what is sent.
    let sent = stream.write_all(message.as_bytes());
    let read = sent.and_then(|()| stream.read_to_string(&mut answer));
    match (read, answer.split_once("\r\n\r\n")) {
        (Ok(_), Some((head, body))) => {
            let status = head.split(' ').nth(1).unwrap();
            (status.to_owned(), body.to_owned())
        }
        _ => (CUT.to_owned(), String::new()),
    }
}
