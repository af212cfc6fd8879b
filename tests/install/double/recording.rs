//! The format of `recording.json`: what the real Supabase CLI sends and writes for each of the
//! program's calls. Shared by the double, which replays it, and the contract test, which makes it.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One call of the CLI.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    /// Header and content of the parts.
    Form(Vec<(String, String)>),
}

/// How a call ends.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// The answers that lead to it: HTTP statuses, or [`CUT`]. Empty if the call sends no request.
    pub(crate) answers: Vec<String>,
    /// How often the last request is sent. Without a number, until the CLI is killed.
    pub(crate) tries: Option<usize>,
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
    serde_json::from_str(&std::fs::read_to_string(path()).unwrap()).unwrap()
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
    /// A value that can be a part of a longer text.
    fn text(name: &str, text: &str) -> Self {
        let (name, value) = (name.into(), text.into());
        Self {
            name,
            value,
            text: text.into(),
        }
    }

    fn whole(name: String, value: &str) -> Self {
        let (value, text) = (value.into(), String::new());
        Self { name, value, text }
    }
}

/// Replaces each value or, if that gives none, the values in it.
pub(crate) fn map<T: Serialize + DeserializeOwned>(
    of: &T,
    replace: &impl Fn(&Value) -> Option<Value>,
) -> T {
    fn each(value: Value, replace: &impl Fn(&Value) -> Option<Value>) -> Value {
        match (replace(&value), value) {
            (Some(replaced), _) => replaced,
            (None, Value::Array(values)) => values
                .into_iter()
                .map(|value| each(value, replace))
                .collect(),
            (None, Value::Object(fields)) => {
                let fields = fields.into_iter();
                fields
                    .map(|(name, value)| (name, each(value, replace)))
                    .collect()
            }
            (None, other) => other,
        }
    }
    let value = serde_json::to_value(of).unwrap();
    serde_json::from_value(each(value, replace)).unwrap()
}

/// What an invocation gets from outside: stdin, the files in its folder, and the API's address.
pub(crate) fn inputs(stdin: &str, folder: &str) -> Vec<Variable> {
    let mut variables = vec![Variable::text("{{folder}}", folder)];
    if !stdin.trim().is_empty() {
        variables.push(Variable::whole("{{stdin}}".into(), stdin.trim()));
    }
    let env = std::fs::read_to_string(format!("{folder}/supaqueue.env")).unwrap_or_default();
    for (name, value) in env.lines().filter_map(|line| line.split_once('=')) {
        let name = format!("{{{{env {name}}}}}");
        variables.push(Variable::whole(name, value.trim_matches('"')));
    }
    let function = "supabase/functions/supaqueue";
    let files = std::fs::read_dir(format!("{folder}/{function}"));
    for file in files.into_iter().flatten().map(Result::unwrap) {
        let content = std::fs::read_to_string(file.path()).expect("the function's files are text");
        let name = format!("{{{{file {function}/{}}}}}", file.file_name().display());
        variables.push(Variable::whole(name, &content));
    }
    variables
}

/// What an outcome takes from the answer.
pub(crate) fn of_answer(answer: &str, body: &str, url: &str) -> Vec<Variable> {
    let mut variables = vec![Variable::text("{{api}}", url)];
    if !body.is_empty() {
        let value = serde_json::from_str(body).unwrap_or_else(|_| body.into());
        variables.push(Variable {
            value,
            ..Variable::text("{{answer}}", body)
        });
    }
    // A status of success is in no message, but its digits may be in other numbers.
    if answer.starts_with(['4', '5']) {
        variables.push(Variable::text("{{status}}", answer));
    }
    variables
}
