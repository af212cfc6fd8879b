//! Requests and answers as the proxy forwards them: buffered, so that they can be kept and replayed.

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::http::{HeaderMap, HeaderName, Method, Request, Response};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

pub(super) type Body = UnsyncBoxBody<Bytes, Cut>;
pub(super) type Answer = Response<Body>;
pub(super) type Client = legacy::Client<HttpConnector, Full<Bytes>>;

/// Headers that belong to one connection or are set again for each message.
const HOP_BY_HOP: [HeaderName; 3] = [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING];

/// The connection is cut, without an answer or in the middle of one.
#[derive(Debug)]
pub(super) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("cut off")
    }
}

impl std::error::Error for Cut {}

pub(super) fn client() -> Client {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    legacy::Client::builder(TokioExecutor::new()).build(connector)
}

/// A request with its complete body.
#[derive(Debug, Clone)]
pub(super) struct Message {
    method: Method,
    path: String,
    pub(super) headers: HeaderMap,
    body: Bytes,
}

impl Message {
    pub(super) async fn read(request: Request<Incoming>) -> Result<Self, Cut> {
        let (parts, body) = request.into_parts();
        let mut headers = parts.headers;
        for name in HOP_BY_HOP {
            headers.remove(name);
        }
        Ok(Self {
            method: parts.method,
            path: parts.uri.to_string(),
            headers,
            body: body.collect().await.map_err(|_| Cut)?.to_bytes(),
        })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) async fn send(self, client: &Client, gateway: &str) -> Result<Answer, Cut> {
        let mut request = Request::builder()
            .method(self.method)
            .uri(format!("{gateway}{}", self.path))
            .body(Full::new(self.body))
            .map_err(|_| Cut)?;
        *request.headers_mut() = self.headers;
        let (mut parts, body) = client.request(request).await.map_err(|_| Cut)?.into_parts();
        for name in HOP_BY_HOP {
            parts.headers.remove(name);
        }
        let body = body.collect().await.map_err(|_| Cut)?.to_bytes();
        Ok(Response::from_parts(parts, full(body)))
    }
}

/// An answer made by the proxy itself.
pub(super) fn answer(status: u16, body: impl Into<Bytes>) -> Result<Answer, Cut> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(full(body.into()))
        .map_err(|_| Cut)
}

fn full(body: Bytes) -> Body {
    Full::new(body)
        .map_err(|never| match never {})
        .boxed_unsync()
}
