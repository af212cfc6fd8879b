//! The call of a target function: its address, headers and body.
//!
//! The job's headers override the queue's, and ours override both.

use core::fmt;

use crate::config::{ProjectKey, Settings};
use crate::fetch::Request;
use crate::json::{self, FromJson, Raw, Reader};
use crate::protocol::{Assignment, Auth};
use crate::signature::{CALL_ID_PREFIX, Keys, sign};
use crate::time::Timestamp;
use crate::trace::Trace;

/// What the database says in the headers of a job that a schedule, or the end of another job, inserted.
const ORIGIN_HEADERS: [&str; 3] = [
    "supaqueue-schedule",
    "supaqueue-scheduled-at",
    "supaqueue-on-end",
];

/// Headers that the runtime sets, or that describe the connection or the bytes of the body. A value
/// of a user's would break the request (HTTP/2 allows none of the connection's), be wrong, or ask for
/// a compression that the runtime does not undo. So they are dropped.
const CONNECTION_HEADERS: [&str; 20] = [
    "host",
    "connection",
    "keep-alive",
    "upgrade",
    "http2-settings",
    "te",
    "trailer",
    "transfer-encoding",
    "expect",
    "accept-encoding",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "content-length",
    "content-encoding",
    "content-range",
    "content-md5",
    "content-digest",
    "repr-digest",
    "digest",
];

/// Why a call cannot be made.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CannotCall {
    /// The job or its queue asks for a call that nobody could make. Tells the job's owner why.
    Ever(String),
    /// The environment lacks what the call needs, which is not the job's fault. Tells the
    /// project's owner what to set.
    Yet(String),
}

impl From<String> for CannotCall {
    fn from(reason: String) -> Self {
        Self::Ever(reason)
    }
}

/// The call that an assignment asks for, as the span `span` of the trace that its headers name in
/// `traceparent` (that of the request which inserted the job, as a rule), else of the dispatch's.
pub(crate) fn request(
    assignment: &Assignment,
    settings: &Settings,
    trace: Trace,
    span: u64,
    now: Timestamp,
) -> Result<Request, CannotCall> {
    let queue = &assignment.queue;
    let name = &queue.edge_function_name;
    if !is_function_name(name) {
        return Err(format!("cannot call \"{name}\": not the name of an edge function").into());
    }
    if queue.auth == Auth::Unknown {
        return Err(CannotCall::Yet(
            "this function does not know auth of the queue: run `supaqueue install` for this project, which brings \
             the database and the function to the same version"
                .into(),
        ));
    }
    let address = format!("{}/functions/v1/{name}", settings.url);
    let mut request = unsigned(assignment, address, settings.result_limit, trace, span, now)?;
    if let Some(key) = settings.project_key(queue.auth) {
        if !key.is_set() {
            return Err(CannotCall::Yet(
                "the function has no key for calls with auth \"anon\": set SUPABASE_ANON_KEY or \
                 SUPABASE_PUBLISHABLE_KEYS in its environment, or change auth of the queue"
                    .into(),
            ));
        }
        authorize(&mut request, key);
    }
    add_signature(&mut request, assignment, &settings.keys, now);
    Ok(request)
}

/// The call of a function at `address`, without a key and without a signature.
pub(crate) fn unsigned(
    assignment: &Assignment,
    address: String,
    limit: usize,
    trace: Trace,
    span: u64,
    now: Timestamp,
) -> Result<Request, CannotCall> {
    let Assignment { job, queue, .. } = assignment;
    let path = assignment.path();
    if !is_path(path) {
        let name = &queue.edge_function_name;
        return Err(format!(
            "cannot call \"{name}\": not a path like users/welcome?lang=de: \"{path}\""
        )
        .into());
    }
    let separator = if matches!(path.as_bytes().first(), None | Some(b'?')) {
        ""
    } else {
        "/"
    };
    let mut request = Request {
        url: address + separator + path,
        headers: Vec::new(),
        body: job.payload.share(),
        within_ms: assignment.timeout_ms(),
        limit,
    };
    add_custom(
        &mut request,
        "default_headers of the queue",
        queue.default_headers.as_ref(),
        queue.auth,
    )?;
    add_custom(
        &mut request,
        "headers of the job",
        job.headers.as_ref(),
        queue.auth,
    )?;
    request.set("content-type", &"application/json");
    request.set("idempotency-key", &job.id.0);
    request.set("supaqueue-queue", &percent_encoded(&queue.name));
    request.set("supaqueue-job-id", &job.id.0);
    request.set("supaqueue-attempt", &job.attempts);
    request.set("supaqueue-deadline", &now.plus(request.within_ms));
    let of_job = (request.headers.iter()).find(|(name, _)| name == "traceparent");
    let trace = of_job
        .and_then(|(_, value)| Trace::parse(value))
        .unwrap_or(trace);
    request.set("traceparent", &trace.child(span));
    Ok(request)
}

/// Adds a key in both forms if the project has both: a target's gateway may check either.
pub(crate) fn authorize(request: &mut Request, key: &ProjectKey) {
    if let Some(jwt) = &key.jwt {
        request.set("authorization", &format_args!("Bearer {jwt}"));
    }
    if let Some(sb) = &key.sb {
        request.set("apikey", sb);
    }
}

/// Signs the body.
pub(crate) fn add_signature(
    request: &mut Request,
    assignment: &Assignment,
    keys: &Keys,
    now: Timestamp,
) {
    let id = format!("{CALL_ID_PREFIX}{}", assignment.job.id.0);
    let signature = sign(keys, &id, now, request.body.as_bytes());
    request.set("webhook-id", &id);
    request.set("webhook-timestamp", &now.seconds());
    request.set("webhook-signature", &signature);
}

fn is_function_name(name: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    !name.is_empty() && name.bytes().all(is_allowed)
}

/// Whether `path` leads to the function, and to no other place of the project, as the schema
/// demands. A URL parser takes a backslash for a slash and `%2e` for a dot (URL Standard,
/// "double-dot URL path segment"), and a server may decode `%2f`.
fn is_path(path: &str) -> bool {
    let is_allowed = |byte| byte > b' ' && !matches!(byte, b'\\' | b'#' | 0x7F);
    if !path.bytes().all(is_allowed) {
        return false;
    }
    let mut rest = path.as_bytes();
    // The number of dots that the segment consists of so far.
    let mut dots = Some(0_usize);
    loop {
        match rest {
            [b'/', after @ ..] | [b'%', b'2', b'f' | b'F', after @ ..] => {
                if let Some(0..=2) = dots {
                    return false;
                }
                (dots, rest) = (Some(0), after);
            }
            [b'.', after @ ..] | [b'%', b'2', b'e' | b'E', after @ ..] => {
                (dots, rest) = (dots.map(|dots| dots + 1), after);
            }
            [] | [b'?', ..] => return !matches!(dots, Some(1 | 2)),
            [_, after @ ..] => (dots, rest) = (None, after),
        }
    }
}

/// Adds the headers of a queue or a job.
fn add_custom(
    request: &mut Request,
    source: &str,
    headers: Option<&Raw>,
    auth: Auth,
) -> Result<(), String> {
    let Some(headers) = headers else {
        return Ok(());
    };
    let Strings(headers) = json::from_str(headers.get())
        .map_err(|_| format!("the {source} are not an object of strings"))?;
    for (name, value) in headers {
        let name = name.to_ascii_lowercase();
        if !is_header_name(&name) {
            return Err(format!("the {source} have a name that HTTP does not allow"));
        }
        if !is_header_value(&value) {
            return Err(format!(
                "the {source} have a value for {name} that HTTP does not allow"
            ));
        }
        if !is_reserved(&name, auth) {
            request.set(&name, &value);
        }
    }
    Ok(())
}

/// Headers that a queue or a job cannot set. (The rest of ours replace theirs.)
fn is_reserved(name: &str, auth: Auth) -> bool {
    let is_key = matches!(name, "authorization" | "apikey");
    (is_key && auth != Auth::None)
        || (name.starts_with("supaqueue-") && !ORIGIN_HEADERS.contains(&name))
        || name.starts_with("webhook-")
        || CONNECTION_HEADERS.contains(&name)
}

/// A token (RFC 9110, section 5.6.2).
fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// What `fetch` accepts: one-byte characters that do not end a line.
fn is_header_value(value: &str) -> bool {
    value
        .chars()
        .all(|c| c == '\t' || (' '..='\u{FF}').contains(&c) && c != '\u{7F}')
}

/// Percent-encodes what a queue's name may contain but a header may not (RFC 3986, section 2.1).
fn percent_encoded(text: &str) -> impl fmt::Display {
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

/// An object of strings, in order.
struct Strings(Vec<(String, String)>);

impl FromJson<'_> for Strings {
    fn read(reader: &mut Reader<'_>) -> Result<Self, json::Error> {
        let mut entries = Vec::new();
        reader.object(&mut |name, reader| {
            entries.push((name.to_owned(), String::read(reader)?));
            Ok(())
        })?;
        Ok(Self(entries))
    }
}

#[cfg(test)]
#[path = "target_tests.rs"]
mod tests;
