//! Reading a body up to a limit, and no further.

use js_sys::{Reflect, Uint8Array};
use supaqueue_core::outcome::BodyEnd;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{ReadableStream, ReadableStreamDefaultReader};

use crate::call::describe;

/// The first `limit` bytes of a body. Where there are more, the rest is not
/// waited for: the other side is told to stop.
pub(crate) async fn read(stream: Option<ReadableStream>, limit: usize) -> (Vec<u8>, BodyEnd) {
    let mut body = Vec::new();
    let Some(stream) = stream else {
        return (body, BodyEnd::Whole);
    };
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let end = loop {
        match next(&reader).await {
            Ok(None) => break BodyEnd::Whole,
            Err(error) => break BodyEnd::Broken(describe(&error)),
            Ok(Some(chunk)) => {
                let room = limit - body.len();
                if chunk.length() as usize > room {
                    body.extend(chunk.subarray(0, room as u32).to_vec());
                    // Nobody waits for this, but a rejection must be taken: it would end the isolate.
                    spawn_local(async move { drop(JsFuture::from(reader.cancel()).await) });
                    break BodyEnd::Cut;
                }
                body.extend(chunk.to_vec());
            }
        }
    };
    (body, end)
}

/// The next chunk; None at the end.
async fn next(reader: &ReadableStreamDefaultReader) -> Result<Option<Uint8Array>, JsValue> {
    let result = JsFuture::from(reader.read()).await?;
    let value = Reflect::get(&result, &JsValue::from_str("value"))?;
    if value.is_undefined() {
        return Ok(None);
    }
    value.dyn_into().map(Some)
}
