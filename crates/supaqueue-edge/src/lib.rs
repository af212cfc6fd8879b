//! The supaqueue edge function: converts between the web's types and those of
//! `supaqueue-core`, and carries out what core decides.
//!
//! This crate decides nothing, and is the only one that knows JavaScript.

mod body;
mod fetch;
mod isolate;
mod js;
mod platform;

use supaqueue_core::config::{Settings, settings};
use supaqueue_core::inbound::{Accepted, Head, Rejection, Reply, check_body, check_head};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;
use web_sys::{Request, Response, ResponseInit};

pub use crate::platform::Platform;

#[cfg(target_arch = "wasm32")]
#[global_allocator]
static ALLOCATOR: rlsf::SmallGlobalTlsf = rlsf::SmallGlobalTlsf::new();

/// Replies to a request. The jobs of a dispatch run in the background, after the reply.
///
/// # Errors
/// If the runtime cannot make a response.
#[wasm_bindgen]
pub async fn handle(request: Request, platform: Platform) -> Result<Response, JsValue> {
    let reply = reply(&request, platform).await;
    let init = ResponseInit::new();
    init.set_status(reply.status);
    init.set_headers(&serde_wasm_bindgen::to_value(&reply.headers())?);
    Response::new_with_opt_str_and_init(Some(&reply.body), &init)
}

async fn reply(request: &Request, platform: Platform) -> Reply {
    let settings = match settings(&|name| platform.env(name)) {
        Ok(settings) => settings,
        Err(error) => {
            let rejection = Rejection::misconfigured(&error);
            platform.write(&rejection.entry());
            return rejection.reply();
        }
    };
    match accept(request, &settings, &platform).await {
        Ok(Accepted::Health) => Reply::health(&platform.source_hash()),
        Ok(Accepted::Dispatch(dispatch)) => {
            let traceparent = request.headers().get("traceparent").ok().flatten();
            isolate::run(settings, dispatch, traceparent.as_deref(), platform)
        }
        Err(rejection) => {
            let entry = rejection.entry();
            if settings.logs(&entry) {
                platform.write(&entry);
            }
            rejection.reply()
        }
    }
}

async fn accept(
    request: &Request,
    settings: &Settings,
    platform: &Platform,
) -> Result<Accepted, Rejection> {
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
    let Some(signed) = check_head(&head, settings)? else {
        return Ok(Accepted::Health);
    };
    let (body, end) = body::read(request.body(), settings.request_limit).await;
    check_body(signed, &body, &end, settings, platform.timestamp())
}
