//! `/functions/v1/{name}`: a proxy to the function's process that streams both bodies.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::keys::Keys;
use crate::functions::{Functions, StartError};

/// How long the platform waits for the first byte of a response.
const IDLE_LIMIT: Duration = Duration::from_secs(150);

/// Headers that apply to one connection and are not forwarded (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::PROXY_AUTHENTICATE,
];

pub(crate) type HttpClient = Client<HttpConnector, Body>;

pub(crate) fn http_client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        // Without a timer the pool keeps idle connections to processes that have exited.
        .pool_timer(TokioTimer::new())
        .build(connector)
}

/// Forwards a request to function `name`.
pub(crate) async fn respond(
    http: &HttpClient,
    functions: &Functions,
    keys: &Keys,
    name: &str,
    request: Request<Body>,
) -> Response {
    let function = match functions.find(name) {
        Ok(Some(function)) => function,
        Ok(None) => return error_response(404, "NOT_FOUND", "Requested function was not found"),
        Err(error) => return error_response(503, "BOOT_ERROR", &error.to_string()),
    };
    // A browser sends its preflight OPTIONS request without a token.
    if function.verify_jwt
        && request.method() != Method::OPTIONS
        && let Err(refusal) = keys.check_jwt(request.headers())
    {
        return error_response(401, refusal.code, refusal.message);
    }
    let isolate = match functions.isolate(&function).await {
        Ok(isolate) => isolate,
        Err(StartError::Boot) => {
            return error_response(
                503,
                "BOOT_ERROR",
                "Function failed to start (please check logs)",
            );
        }
        Err(StartError::Host(error)) => {
            return error_response(503, "BOOT_ERROR", &error.to_string());
        }
    };

    let (mut parts, body) = request.into_parts();
    // As on the platform, the path that the function sees begins with its name.
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let path = path.strip_prefix("/functions/v1").unwrap_or(path);
    let Ok(uri) = format!("http://{}{path}", isolate.address).parse::<Uri>() else {
        return error_response(400, "BAD_REQUEST", "Invalid path");
    };
    parts.uri = uri;
    set_forwarded_headers(&mut parts.headers);
    let response = http.request(Request::from_parts(parts, body));
    match tokio::time::timeout(IDLE_LIMIT, response).await {
        Ok(Ok(response)) => {
            let (mut parts, body) = response.into_parts();
            remove_hop_by_hop(&mut parts.headers);
            // The body keeps the isolate alive until its last byte.
            Response::from_parts(
                parts,
                Body::new(body.map_frame(move |frame| {
                    let _ = &isolate;
                    frame
                })),
            )
        }
        Ok(Err(_)) => {
            // It may take a moment to learn that the process has exited. An exit by signal emulates
            // the platform killing the isolate; any other is the function's own error.
            match tokio::time::timeout(Duration::from_secs(1), isolate.wait()).await {
                Ok(status) if status > 128 => error_response(
                    546,
                    "WORKER_LIMIT",
                    "Function failed due to not having enough compute resources (please check logs)",
                ),
                _ => error_response(
                    500,
                    "WORKER_ERROR",
                    "Function exited due to an error (please check logs)",
                ),
            }
        }
        Err(_) => error_response(504, "IDLE_TIMEOUT", "The request has timed out"),
    }
}

fn set_forwarded_headers(headers: &mut HeaderMap) {
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

pub(crate) fn error_response(status: u16, code: &str, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::json!({ "code": code, "message": message });
    (
        status,
        [(header::CONTENT_TYPE, "application/json")],
        body.to_string(),
    )
        .into_response()
}
