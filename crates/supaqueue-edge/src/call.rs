//! One fetch: a request of core as an object for `fetch`, what came of it as values of core.

use js_sys::{Object, Reflect, Uint8Array};
use supaqueue_core::outcome::{BodyEnd, CallEnd, TargetAnswer};
use supaqueue_core::request::Request;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Response};

use crate::body;
use crate::platform::Platform;

/// Sends a request and reads its answer, the body up to `limit` bytes, all within `timeout_ms`.
pub(crate) async fn call(
    platform: &Platform,
    request: &Request,
    body: &[u8],
    timeout_ms: u64,
    limit: usize,
) -> CallEnd {
    let signal = platform.timeout(timeout_ms as f64);
    let response = match fetch(platform, request, body, &signal).await {
        Ok(response) => response,
        Err(_) if signal.aborted() => return CallEnd::TimedOut,
        Err(error) => return thrown(&error),
    };
    let headers = response.headers();
    let header = |name| headers.get(name).ok().flatten();
    let (bytes, body_end) = body::read_answer(&response, limit).await;
    let body_end = match body_end {
        BodyEnd::Broken(_) if signal.aborted() => {
            BodyEnd::Broken(format!("cut off after {timeout_ms} ms"))
        }
        end => end,
    };
    CallEnd::Answered(TargetAnswer {
        status: response.status(),
        retry_after: header("retry-after"),
        supaqueue_retry: header("supaqueue-retry"),
        content_type: header("content-type"),
        body: bytes,
        body_end,
    })
}

async fn fetch(
    platform: &Platform,
    request: &Request,
    body: &[u8],
    signal: &AbortSignal,
) -> Result<Response, JsValue> {
    let init = Object::new();
    let set = |name: &str, value: &JsValue| Reflect::set(&init, &JsValue::from_str(name), value);
    set("method", &"POST".into())?;
    set("headers", &serde_wasm_bindgen::to_value(&request.headers)?)?;
    set("body", &Uint8Array::from(body))?;
    set("signal", signal)?;
    // A redirect that is followed would carry the project's key to wherever it leads.
    set("redirect", &"manual".into())?;
    JsFuture::from(platform.fetch(&request.url, &init)?)
        .await?
        .dyn_into()
}

fn thrown(error: &JsValue) -> CallEnd {
    if text(error, "name").as_deref() == Some("RateLimitError") {
        let ms = property(error, "retryAfterMs").as_f64().unwrap_or(1000.0);
        // Negative numbers and NaN become 0.
        return CallEnd::RateLimited {
            retry_after_ms: ms as u64,
        };
    }
    CallEnd::Network(describe(error))
}

/// Something thrown, in words.
pub(crate) fn describe(error: &JsValue) -> String {
    let known = text(error, "message").or_else(|| error.as_string());
    known.unwrap_or_else(|| "the runtime gave no reason".into())
}

fn text(value: &JsValue, name: &str) -> Option<String> {
    property(value, name).as_string()
}

fn property(value: &JsValue, name: &str) -> JsValue {
    Reflect::get(value, &JsValue::from_str(name)).unwrap_or_default()
}
