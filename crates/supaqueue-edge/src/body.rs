//! Reading a body up to a limit, and no further.

use js_sys::{Reflect, Uint8Array};
use supaqueue_core::outcome::BodyEnd;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{ReadableStream, ReadableStreamDefaultReader, Response};

use crate::call::describe;

/// The first `limit` bytes of an answer's body.
///
/// One that says that it is short enough is read at once, which costs the runtime a fraction of
/// reading it chunk by chunk. HTTP holds it to its word (RFC 9112, section 6.3), unless it is compressed.
pub(crate) async fn read_answer(response: &Response, limit: usize) -> (Vec<u8>, BodyEnd) {
    let header = |name| response.headers().get(name).ok().flatten();
    let length = header("content-length").and_then(|length| length.parse::<usize>().ok());
    if length.is_none_or(|length| length > limit) || header("content-encoding").is_some() {
        return read(response.body(), limit).await;
    }
    let whole = match response.array_buffer() {
        Ok(buffer) => JsFuture::from(buffer).await,
        Err(error) => Err(error),
    };
    match whole {
        Ok(buffer) => {
            let mut body = Uint8Array::new(&buffer).to_vec();
            let end = if body.len() > limit {
                BodyEnd::Cut
            } else {
                BodyEnd::Whole
            };
            body.truncate(limit);
            (body, end)
        }
        Err(error) => (Vec::new(), BodyEnd::Broken(describe(&error))),
    }
}

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
