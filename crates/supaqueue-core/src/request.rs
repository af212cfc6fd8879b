//! The call of a target: its address and its headers.
//!
//! The queue's headers come first, then the job's, then ours, which neither can override.

use core::fmt;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::config::{ProjectKey, Settings};
use crate::json::{self, Raw};
use crate::protocol::{Assignment, Auth, EndCurrentJob};
use crate::signature::{CALL_ID_PREFIX, sign};
use crate::time::Timestamp;
use crate::trace::Trace;

/// A request that is ready to be sent. All of them are a POST of JSON.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// Where to.
    pub url: String,
    /// Names in lower case, each once.
    pub headers: Vec<(String, String)>,
}

/// Headers that belong to the connection: a wrong one would break the request
/// rather than change it, so they are left out.
const OF_THE_CONNECTION: [&str; 9] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "upgrade",
    "te",
    "trailer",
    "expect",
];

/// The call that an assignment asks for, made at `now` as the span `span` of the dispatch's trace.
/// An error says, for the job's owner, why it cannot be made.
pub fn target(
    assignment: &Assignment,
    settings: &Settings,
    trace: Trace,
    span: u64,
    now: Timestamp,
) -> Result<Request, String> {
    let Assignment { job, queue, .. } = assignment;
    let name = &queue.edge_function_name;
    if name.is_empty()
        || !name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    {
        return Err(format!(
            "cannot call \"{name}\": not the name of an edge function"
        ));
    }
    let mut request = Request {
        url: format!("{}/functions/v1/{name}", settings.url),
        headers: Vec::new(),
    };
    request.add_custom(
        "default_headers of the queue",
        queue.default_headers.as_ref(),
        queue.auth,
    )?;
    request.add_custom("headers of the job", job.headers.as_ref(), queue.auth)?;

    if let Some(key) = settings.project_key(queue.auth) {
        if !key.is_set() {
            return Err("cannot call with auth \"anon\": SUPABASE_ANON_KEY is not set".into());
        }
        request.authorize(key);
    }
    let id = format!("{CALL_ID_PREFIX}{}", job.id.0);
    let signature = sign(&settings.keys, &id, now, job.payload.get().as_bytes());
    request.set("content-type", "application/json");
    request.set("idempotency-key", job.id.0);
    request.set("supaqueue-queue", header_text(&queue.name));
    request.set("supaqueue-job-id", job.id.0);
    request.set("supaqueue-attempt", job.attempts);
    request.set("supaqueue-deadline", now.plus(assignment.timeout_ms()));
    request.set("traceparent", trace.child(span));
    request.set("webhook-id", &id);
    request.set("webhook-timestamp", now.seconds());
    request.set("webhook-signature", signature);
    Ok(request)
}

/// The call of `end_current_job`, and its body.
pub fn end_current_job(settings: &Settings, arguments: &EndCurrentJob<'_>) -> (Request, String) {
    let mut request = Request {
        url: format!("{}/rest/v1/rpc/end_current_job", settings.url),
        headers: Vec::new(),
    };
    request.set("content-type", "application/json");
    let key = &settings.service_role;
    // The API's gateway wants a key in `apikey` whatever its kind; a legacy one is also the bearer token.
    match (&key.sb, &key.jwt) {
        (None, Some(jwt)) => {
            request.set("apikey", jwt);
            request.set("authorization", format_args!("Bearer {jwt}"));
        }
        (sb, _) => request.set("apikey", sb.as_deref().unwrap_or_default()),
    }
    (request, arguments.json())
}

impl Request {
    fn set(&mut self, name: &str, value: impl fmt::Display) {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_string()));
    }

    /// Both kinds where the project has both: a target's gateway may check either.
    fn authorize(&mut self, key: &ProjectKey) {
        if let Some(jwt) = &key.jwt {
            self.set("authorization", format_args!("Bearer {jwt}"));
        }
        if let Some(sb) = &key.sb {
            self.set("apikey", sb);
        }
    }

    fn add_custom(&mut self, whose: &str, headers: Option<&Raw>, auth: Auth) -> Result<(), String> {
        let Some(headers) = headers else {
            return Ok(());
        };
        let Strings(headers) = json::from_str(headers.get())
            .map_err(|_| format!("the {whose} are not an object of strings"))?;
        for (name, value) in headers {
            let name = name.to_ascii_lowercase();
            if !is_header_name(&name) {
                return Err(format!("the {whose} have a name that HTTP does not allow"));
            }
            if !is_header_value(&value) {
                return Err(format!(
                    "the {whose} have a value for {name} that HTTP does not allow"
                ));
            }
            if !is_ours(&name, auth) {
                self.set(&name, value);
            }
        }
        Ok(())
    }
}

/// Headers that are never taken from a queue or a job. (The others of ours are
/// always set, so that what came before is replaced.)
fn is_ours(name: &str, auth: Auth) -> bool {
    let is_key = matches!(name, "authorization" | "apikey");
    (is_key && auth != Auth::None)
        || name.starts_with("supaqueue-")
        || name.starts_with("webhook-")
        || OF_THE_CONNECTION.contains(&name)
}

/// A token of RFC 9110, section 5.6.2.
fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// What `fetch` takes: the characters of one byte, without those that end a line.
fn is_header_value(value: &str) -> bool {
    value
        .chars()
        .all(|c| c == '\t' || (' '..='\u{FF}').contains(&c) && c != '\u{7F}')
}

/// A queue's name may hold any character, a header may not: those are percent-encoded (RFC 3986, section 2.1).
fn header_text(text: &str) -> impl fmt::Display {
    struct Encoded<'a>(&'a str);
    impl fmt::Display for Encoded<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            for byte in self.0.bytes() {
                match byte {
                    b'%' => f.write_str("%25")?,
                    b' '..=b'~' => write!(f, "{}", char::from(byte))?,
                    _ => write!(f, "%{byte:02X}")?,
                }
            }
            Ok(())
        }
    }
    Encoded(text)
}

/// An object of strings, in its order.
struct Strings(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Strings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Strings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of strings")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Strings, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Strings(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
