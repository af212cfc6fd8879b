//! The function's own answers.

use supaqueue_core::door::Rejection;
use wasm_bindgen::JsValue;
use web_sys::{Response, ResponseInit};

/// 202, before any of the work is done: the database's other requests wait for this answer.
pub(crate) fn accepted(count: usize) -> Result<Response, JsValue> {
    json(202, &format!(r#"{{"accepted":{count}}}"#))
}

/// 200: which function this is.
pub(crate) fn healthy(source_hash: &str) -> Result<Response, JsValue> {
    let version = env!("CARGO_PKG_VERSION");
    json(
        200,
        &format!(r#"{{"name":"supaqueue","version":"{version}","hash":"{source_hash}"}}"#),
    )
}

/// Why the request was turned away.
pub(crate) fn rejected(rejection: &Rejection) -> Result<Response, JsValue> {
    json(rejection.status, &rejection.body())
}

fn json(status: u16, body: &str) -> Result<Response, JsValue> {
    let mut headers = vec![
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
    ];
    if status == 405 {
        headers.push(("allow", "POST, GET, HEAD"));
    }
    let init = ResponseInit::new();
    init.set_status(status);
    init.set_headers(&serde_wasm_bindgen::to_value(&headers)?);
    Response::new_with_opt_str_and_init(Some(body), &init)
}
