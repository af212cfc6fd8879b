//! One fetch: core's request in, the response or failure out.

use js_sys::{Object, Reflect, Uint8Array};
use supaqueue_core::fetch::{BodyEnd, Failure, Request, Response};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, AbortSignal};

use crate::body;
use crate::js::{message, property};
use crate::platform::Platform;

/// Sends a request, and reads the response and its body within the request's limits.
/// `controller` aborts it.
pub(crate) async fn fetch(
    platform: &Platform,
    request: Request,
    controller: &AbortController,
) -> Result<Response, Failure> {
    let limit = request.limit;
    let within_ms = request.within_ms as f64;
    let aborted = controller.clone();
    let abort = Closure::new(move || aborted.abort());
    let timer = platform.after(within_ms, &abort);
    let end = response(platform, request, limit, &controller.signal()).await;
    platform.forget(&timer);
    end
}

async fn response(
    platform: &Platform,
    request: Request,
    limit: usize,
    signal: &AbortSignal,
) -> Result<Response, Failure> {
    let or_aborted = |error: JsValue| {
        if signal.aborted() {
            Failure::Aborted
        } else {
            failure(&error)
        }
    };
    let sent = send(platform, request, signal).map_err(or_aborted)?;
    let response = sent.await.map_err(or_aborted)?;
    let response: web_sys::Response = response.dyn_into().map_err(or_aborted)?;
    let headers = response.headers();
    let header = |name| headers.get(name).ok().flatten();
    let (body, body_end) = body::read_response(&response, limit).await;
    let body_end = match body_end {
        BodyEnd::Failed(_) if signal.aborted() => BodyEnd::Aborted,
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

/// Takes the request: a payload is not kept here while its call is in flight.
fn send(platform: &Platform, request: Request, signal: &AbortSignal) -> Result<JsFuture, JsValue> {
    let init = Object::new();
    let set = |name: &str, value: &JsValue| Reflect::set(&init, &JsValue::from_str(name), value);
    set("method", &"POST".into())?;
    set("headers", &serde_wasm_bindgen::to_value(&request.headers)?)?;
    set("body", &Uint8Array::from(request.body.as_bytes()))?;
    set("signal", signal)?;
    // Following a redirect would send the project's key wherever it leads.
    set("redirect", &"manual".into())?;
    Ok(JsFuture::from(platform.fetch(&request.url, &init)?))
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
