//! Values that JavaScript throws.

use js_sys::Reflect;
use wasm_bindgen::JsValue;

/// The message of something thrown, which may be anything.
pub(crate) fn message(thrown: &JsValue) -> String {
    let message = property(thrown, "message").as_string();
    message
        .or_else(|| thrown.as_string())
        .unwrap_or_else(|| "the runtime gave no reason".into())
}

/// A property, or undefined.
pub(crate) fn property(value: &JsValue, name: &str) -> JsValue {
    Reflect::get(value, &JsValue::from_str(name)).unwrap_or_default()
}
