//! The supaqueue edge function: turns web requests into values of
//! `supaqueue-core`, and what core decides into fetches.
//!
//! This crate decides nothing, and is the only one that knows JavaScript.

mod body;
mod call;
mod context;
mod platform;
mod reply;

use supaqueue_core::config::{Settings, settings};
use supaqueue_core::door::{Admitted, Head, Rejection, check_body, check_head};
use supaqueue_core::log::{Entry, Level};
use supaqueue_core::outcome::BodyEnd;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::{Request, Response};

use crate::context::Context;
pub use crate::platform::Platform;

/// Answers a request. What a dispatch asks for goes on in the background after the answer.
#[wasm_bindgen]
pub async fn handle(request: Request, platform: Platform) -> Result<Response, JsValue> {
    let settings = match settings(&|name| platform.env(name)) {
        Ok(settings) => settings,
        Err(error) => {
            let message = format!("Cannot start: {error}");
            platform.write(&Entry::new(Level::Error, "misconfigured").because(&message));
            return reply::rejected(&Rejection::misconfigured(&message));
        }
    };
    match admit(&request, &settings, &platform).await {
        Ok(None | Some(Admitted::SelfTest)) => reply::healthy(&platform.source_hash()),
        Ok(Some(Admitted::Dispatch(dispatch))) => {
            let count = dispatch.current_jobs.len();
            let traceparent = request.headers().get("traceparent").ok().flatten();
            Context::new(settings, platform, traceparent.as_deref(), count).start(dispatch);
            reply::accepted(count)
        }
        Err(rejection) => {
            let reason = rejection
                .reason
                .map_or(rejection.message.clone(), |reason| reason.to_string());
            let entry = Entry::new(Level::Warn, "dispatch_rejected").because(&reason);
            if settings.level >= Level::Warn {
                platform.write(&Entry {
                    status: Some(rejection.status),
                    ..entry
                });
            }
            reply::rejected(&rejection)
        }
    }
}

/// What a request brings; None where it asks for the function's health.
async fn admit(
    request: &Request,
    settings: &Settings,
    platform: &Platform,
) -> Result<Option<Admitted>, Rejection> {
    let headers = request.headers();
    let header = |name| headers.get(name).ok().flatten();
    let method = request.method();
    let [content_type, content_length, id, timestamp, signature] = [
        "content-type",
        "content-length",
        "webhook-id",
        "webhook-timestamp",
        "webhook-signature",
    ]
    .map(header);
    let head = Head {
        method: &method,
        content_type: content_type.as_deref(),
        content_length: content_length.as_deref(),
        id: id.as_deref(),
        timestamp: timestamp.as_deref(),
        signature: signature.as_deref(),
    };
    if head.asks_for_health() {
        return Ok(None);
    }
    let signed = check_head(&head, settings)?;
    let (body, end) = body::read(request.body(), settings.request_limit).await;
    match end {
        BodyEnd::Whole => check_body(signed, &body, settings, platform.timestamp()).map(Some),
        BodyEnd::Cut => Err(Rejection::too_large(settings.request_limit)),
        BodyEnd::Broken(_) => Err(Rejection::unreadable()),
    }
}
