//! One fetch: core's request in, the response or failure out.

use js_sys::{Object, Reflect, Uint8Array};
use supaqueue_core::fetch::{BodyEnd, Failure, Request, Response};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::AbortSignal;

use crate::body;
use crate::js::{message, property};
use crate::platform::Platform;

/// Sends a request, and reads the response and its body within the request's limits.
pub(crate) async fn fetch(platform: &Platform, request: &Request) -> Result<Response, Failure> {
    let signal = platform.timeout(request.timeout_ms as f64);
    let response = send(platform, request, &signal).await.map_err(|error| {
        if signal.aborted() {
            Failure::TimedOut
        } else {
            failure(&error)
        }
    })?;
    let headers = response.headers();
    let header = |name| headers.get(name).ok().flatten();
    let (body, body_end) = body::read_response(&response, request.body_limit).await;
    let body_end = match body_end {
        BodyEnd::Failed(_) if signal.aborted() => BodyEnd::TimedOut,
        end => end,
    };
    Ok(Response {
        status: response.status(),
        retry_after: header("retry-after"),
        supaqueue_retry: header("supaqueue-retry"),
        content_type: header("content-type"),
        body,
        body_end,
    })
}

async fn send(
    platform: &Platform,
    request: &Request,
    signal: &AbortSignal,
) -> Result<web_sys::Response, JsValue> {
    let init = Object::new();
    let set = |name: &str, value: &JsValue| Reflect::set(&init, &JsValue::from_str(name), value);
    set("method", &"POST".into())?;
    set("headers", &serde_wasm_bindgen::to_value(&request.headers)?)?;
    set("body", &Uint8Array::from(request.body.as_bytes()))?;
    set("signal", signal)?;
    // Following a redirect would send the project's key wherever it leads.
    set("redirect", &"manual".into())?;
    JsFuture::from(platform.fetch(&request.url, &init)?)
        .await?
        .dyn_into()
}

fn failure(thrown: &JsValue) -> Failure {
    if property(thrown, "name").as_string().as_deref() != Some("RateLimitError") {
        return Failure::Network(message(thrown));
    }
    let ms = property(thrown, "retryAfterMs").as_f64().unwrap_or(1000.0);
    Failure::RateLimited {
        // The cast turns negative numbers and NaN into 0.
        retry_after_ms: ms as u64,
    }
}
