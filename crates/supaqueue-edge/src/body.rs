//! Reads a body up to a limit.

use js_sys::Uint8Array;
use supaqueue_core::fetch::BodyEnd;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{ReadableStream, ReadableStreamDefaultReader, Response};

use crate::js::{message, property};

/// The first `limit` bytes of a response's body.
///
/// A body that declares a length within the limit is read at once, which costs the runtime a
/// fraction of reading chunks. HTTP enforces that length (RFC 9112, section 6.3), unless the
/// body is compressed.
pub(crate) async fn read_response(response: &Response, limit: usize) -> (Vec<u8>, BodyEnd) {
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
                BodyEnd::Truncated
            } else {
                BodyEnd::Complete
            };
            body.truncate(limit);
            (body, end)
        }
        Err(error) => (Vec::new(), BodyEnd::Failed(message(&error))),
    }
}

/// The first `limit` bytes of a body. If there are more, the stream is cancelled.
pub(crate) async fn read(stream: Option<ReadableStream>, limit: usize) -> (Vec<u8>, BodyEnd) {
    let mut body = Vec::new();
    let Some(stream) = stream else {
        return (body, BodyEnd::Complete);
    };
    let reader: ReadableStreamDefaultReader = stream.get_reader().unchecked_into();
    let end = loop {
        match next(&reader).await {
            Ok(None) => break BodyEnd::Complete,
            Err(error) => break BodyEnd::Failed(message(&error)),
            Ok(Some(chunk)) => {
                let room = limit - body.len();
                if chunk.length() as usize > room {
                    body.extend(chunk.subarray(0, room as u32).to_vec());
                    // Not awaited, but a rejection must be handled: it would end the isolate.
                    spawn_local(async move { drop(JsFuture::from(reader.cancel()).await) });
                    break BodyEnd::Truncated;
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
    let value = property(&result, "value");
    if value.is_undefined() {
        return Ok(None);
    }
    value.dyn_into().map(Some)
}
