//! Bodies that break off, or never end.

use std::cell::Cell;
use std::rc::Rc;

use js_sys::{Object, Promise, Uint8Array};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::{Closure, JsValue};
use web_sys::{ReadableStream, ReadableStreamDefaultController};

use super::{method, set};

/// What happened to a body.
#[derive(Default)]
pub(crate) struct Fate {
    /// How many chunks were pulled.
    pub(crate) pulled: Cell<u32>,
    pub(crate) is_cancelled: Cell<bool>,
}

/// A body of `count` chunks of `size` bytes, followed by what `after` does to the stream.
pub(crate) fn body(
    size: usize,
    count: u32,
    after: impl Fn(&ReadableStreamDefaultController) -> Result<(), JsValue> + 'static,
) -> (ReadableStream, Rc<Fate>) {
    let fate = Rc::new(Fate::default());
    let source = Object::new();
    let seen = Rc::clone(&fate);
    let pull = move |controller: JsValue| -> Result<(), JsValue> {
        let controller: ReadableStreamDefaultController = controller.unchecked_into();
        if seen.pulled.get() == count {
            return after(&controller);
        }
        seen.pulled.set(seen.pulled.get() + 1);
        controller.enqueue_with_chunk(&Uint8Array::from(vec![b'x'; size].as_slice()))
    };
    let pull = Closure::<dyn FnMut(JsValue) -> Result<(), JsValue>>::new(pull);
    method(&source, "pull", pull);
    let seen = Rc::clone(&fate);
    // Cancelling may fail, which must not harm the function.
    let cancel = Closure::<dyn FnMut() -> Promise>::new(move || {
        seen.is_cancelled.set(true);
        Promise::reject(&"cancelled".into())
    });
    method(&source, "cancel", cancel);
    set(&source, "type", &JsValue::UNDEFINED);
    let stream = ReadableStream::new_with_underlying_source(&source).unwrap();
    (stream, fate)
}

/// A body that never ends.
pub(crate) fn endless(size: usize) -> (ReadableStream, Rc<Fate>) {
    body(size, u32::MAX, |_| Ok(()))
}
