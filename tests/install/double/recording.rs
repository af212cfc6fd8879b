//! The format of `recording.json`: what the real Supabase CLI sends and writes for each of the
//! program's calls. Shared by the double, which replays it, and the contract test, which makes it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One call of the CLI.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Call {
    /// The CLI's major version.
    pub(crate) version: u32,
    pub(crate) arguments: Vec<String>,
    /// The requests that it sends, in order. The answer to the last decides the outcome.
    pub(crate) requests: Vec<Request>,
    pub(crate) outcomes: Vec<Outcome>,
}

/// A request, with its body parsed: what is left out (order of keys, boundary) varies between runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With the query string.
    pub(crate) path: String,
    pub(crate) body: Body,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Body {
    Empty,
    Json(Value),
    /// The parts of a form, as pairs of header and content.
    Form(Value),
}

/// How a call ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The answers that lead to it: HTTP statuses, or [`CUT`]. Empty if the call sends no request.
    pub(crate) answers: Vec<String>,
    /// How often the last request is sent. Without a number, until the CLI is killed.
    pub(crate) tries: Option<u32>,
    pub(crate) status: Option<i32>,
    /// What is written to stdout, parsed. The program reads stderr only if this is not JSON.
    pub(crate) stdout: Value,
}

/// The connection was closed without an answer.
pub(crate) const CUT: &str = "cut";

/// Where the recording is kept.
pub(crate) fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/install/double/recording.json")
}

/// Reads the recording.
pub(crate) fn read() -> Vec<Call> {
    let path = path();
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A value that differs between runs, and its name in the recording.
#[derive(Debug, Clone)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: Value,
    /// The same, where it is a part of a longer text. Empty if it never is.
    pub(crate) text: String,
}

impl Variable {
    pub(crate) fn text(name: &str, text: &str) -> Self {
        Self {
            name: name.into(),
            value: text.into(),
            text: text.into(),
        }
    }
}

/// Replaces a value or, if that gives none, the values in it.
pub(crate) fn map(value: &Value, replace: &impl Fn(&Value) -> Option<Value>) -> Value {
    if let Some(replaced) = replace(value) {
        return replaced;
    }
    match value {
        Value::Array(values) => values.iter().map(|value| map(value, replace)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), map(value, replace)))
            .collect(),
        other => other.clone(),
    }
}

impl Body {
    /// Applies a function to the values in it.
    pub(crate) fn map(&self, change: impl Fn(&Value) -> Value) -> Self {
        match self {
            Self::Empty => Self::Empty,
            Self::Json(value) => Self::Json(change(value)),
            Self::Form(parts) => Self::Form(change(parts)),
        }
    }
}

/// What an invocation gets from outside: stdin, the files in its folder, and the API's address.
pub(crate) fn inputs(stdin: &str, folder: &str) -> Vec<Variable> {
    let mut variables = vec![Variable::text("{{folder}}", folder)];
    let mut add_file = |name: String, content: &str| {
        variables.push(Variable {
            name,
            value: content.into(),
            text: String::new(),
        });
    };
    if !stdin.trim().is_empty() {
        add_file("{{stdin}}".into(), stdin.trim());
    }
    let folder = std::path::Path::new(folder);
    if let Ok(env) = std::fs::read_to_string(folder.join("supaqueue.env")) {
        for (name, value) in env.lines().filter_map(|line| line.split_once('=')) {
            add_file(format!("{{{{env {name}}}}}"), value.trim_matches('"'));
        }
    }
    let function = "supabase/functions/supaqueue";
    for file in std::fs::read_dir(folder.join(function))
        .into_iter()
        .flatten()
    {
        let file = file.expect("the folder can be read");
        let content = std::fs::read_to_string(file.path()).expect("the function's files are text");
        let name = file.file_name().to_string_lossy().into_owned();
        add_file(format!("{{{{file {function}/{name}}}}}"), &content);
    }
    variables
}

/// What an outcome takes from the answer.
pub(crate) fn of_answer(answer: &str, body: &str, url: &str) -> Vec<Variable> {
    let mut variables = vec![Variable::text("{{api}}", url)];
    if !body.is_empty() {
        variables.push(Variable {
            name: "{{answer}}".into(),
            value: serde_json::from_str(body).unwrap_or_else(|_| body.into()),
            text: body.into(),
        });
    }
    // A status of success is in no message, but its digits may be in other numbers.
    if answer.starts_with(['4', '5']) {
        variables.push(Variable::text("{{status}}", answer));
    }
    variables
}
