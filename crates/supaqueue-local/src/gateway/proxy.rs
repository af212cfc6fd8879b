//! `/functions/v1/{name}`: passes a request on to the function's own process, both bodies as streams.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::keys::Keys;
use crate::functions::{Failed, Functions};

/// The platform waits this long for the first byte of an answer.
const IDLE_LIMIT: Duration = Duration::from_secs(150);

/// Headers of one connection, which are not passed on (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::PROXY_AUTHENTICATE,
];

pub(crate) type Http = Client<HttpConnector, Body>;

pub(crate) fn http() -> Http {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        // Without a clock it keeps the idle connections to processes that ended long ago.
        .pool_timer(TokioTimer::new())
        .build(connector)
}

/// Answers a request for `name`; `rest` is what follows the name in the path.
pub(crate) async fn answer(
    http: &Http,
    functions: &Functions,
    keys: &Keys,
    name: &str,
    request: Request<Body>,
) -> Response {
    let function = match functions.find(name) {
        Ok(Some(function)) => function,
        Ok(None) => return refuse(404, "NOT_FOUND", "Requested function was not found"),
        Err(error) => return refuse(503, "BOOT_ERROR", &error.to_string()),
    };
    // A browser asks with OPTIONS before it may send a token.
    if function.verify_jwt
        && request.method() != Method::OPTIONS
        && let Err(refusal) = keys.check_jwt(request.headers())
    {
        return refuse(401, refusal.code, refusal.message);
    }
    let running = match functions.run(&function).await {
        Ok(running) => running,
        Err(Failed::Boot) => {
            return refuse(
                503,
                "BOOT_ERROR",
                "Function failed to start (please check logs)",
            );
        }
        Err(Failed::Host(error)) => return refuse(503, "BOOT_ERROR", &error.to_string()),
    };

    let (mut parts, body) = request.into_parts();
    // The function sees its own name first in the path, as on the platform.
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let path = path.strip_prefix("/functions/v1").unwrap_or(path);
    let Ok(uri) = format!("http://{}{path}", running.address).parse::<Uri>() else {
        return refuse(400, "BAD_REQUEST", "The path is not understood");
    };
    parts.uri = uri;
    forwarded(&mut parts.headers);
    let sent = http.request(Request::from_parts(parts, body));
    match tokio::time::timeout(IDLE_LIMIT, sent).await {
        Ok(Ok(response)) => {
            let (mut parts, body) = response.into_parts();
            remove_hop_by_hop(&mut parts.headers);
            // The process is held until the last byte is through.
            Response::from_parts(
                parts,
                Body::new(body.map_frame(move |frame| {
                    let _ = &running;
                    frame
                })),
            )
        }
        Ok(Err(_)) => {
            // The process may need a moment to be seen as gone; a signal stands for the platform
            // ending the isolate, everything else for the function's own error.
            let gone = tokio::time::timeout(Duration::from_secs(1), running.wait()).await;
            match gone {
                Ok(status) if status > 128 => refuse(
                    546,
                    "WORKER_LIMIT",
                    "Function failed due to not having enough compute resources (please check logs)",
                ),
                _ => refuse(
                    500,
                    "WORKER_ERROR",
                    "Function exited due to an error (please check logs)",
                ),
            }
        }
        Err(_) => refuse(504, "IDLE_TIMEOUT", "The request has timed out"),
    }
}

fn forwarded(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    if let Some(host) = headers.get(header::HOST).cloned() {
        headers.insert("x-forwarded-host", host);
    }
    headers.insert("x-forwarded-proto", HeaderValue::from_static("http"));
    headers.insert("x-forwarded-for", HeaderValue::from_static("127.0.0.1"));
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

pub(crate) fn refuse(status: u16, code: &str, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::json!({ "code": code, "message": message });
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}
